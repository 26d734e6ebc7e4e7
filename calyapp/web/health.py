"""The routes under `/health`: liveness, readiness, details and metrics."""

from collections.abc import Mapping

from flask import Blueprint, Response, jsonify, request

import calyapp
from calyapp import clock, metrics
from calyapp.health import figures
from calyapp.health.checks import Check, Checks, Health, TimedFinding, overall
from calyapp.services import Services
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.routing import Access, JsonObject
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.requests import MetricsFormatSchema
from calyapp.web.schemas.service_responses import (
    PROMETHEUS,
    HealthDetailsSchema,
    LivenessSchema,
    MetricsSchema,
    ReadinessSchema,
)

READINESS = ("database", "environment", "spool")

_LIVE = Operation(answer=in_json(LivenessSchema))
_READY = Operation(answer=in_json(ReadinessSchema), statuses=(200, 503))
_DETAILED = Operation(answer=in_json(HealthDetailsSchema), statuses=(200, 503))
_METRICS = Operation(answer={**in_json(MetricsSchema), **PROMETHEUS}, query=MetricsFormatSchema)


class HealthViews:
    """The views under `/health`."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._names = tuple(checks)
        self._checks = Checks(checks)

    def live(self) -> JsonObject:
        """Reports that the process answers.

        Checks nothing else.
        """
        return {"status": "alive", "timestamp": clock.iso(clock.now())}

    def ready(self) -> tuple[JsonObject, int]:
        """Reports whether the service can receive traffic, for load balancers.

        The status is 503 if it is unhealthy.
        """
        findings = self._checks.run(READINESS)
        checks = {name: {"status": finding.status.value} for name, finding in findings.items()}
        return _report(findings, checks)

    def detailed(self) -> tuple[JsonObject, int]:
        """Reports each check with its reason and remedy, for operators.

        Open to trusted networks, and from elsewhere to an admin. The status is 503 if the service is unhealthy.
        """
        findings = self._checks.run(self._names)
        checks = {name: _detail(finding) for name, finding in findings.items()}
        report, status = _report(findings, checks)
        facts = {"version": calyapp.__version__, "uptimeSeconds": figures.summary()["uptimeSeconds"]}
        return report | facts, status

    def metrics(self) -> Response:
        """Returns the metrics of all workers together.

        In the Prometheus text format if `Accept` or `format` asks for it. Open to trusted networks, and from elsewhere
        to an admin.
        """
        if _wants_text() or request.args.get("format") == "prometheus":
            return Response(metrics.prometheus_text(), content_type="text/plain; version=0.0.4; charset=utf-8")
        return jsonify(figures.summary())


def blueprint(services: Services, counter: RateLimitWindows) -> Blueprint:
    """Returns the routes."""
    routes = Blueprint("health", __name__, url_prefix="/health")
    views = HealthViews({**services.health_checks, "limits storage": counter.check})
    routes.add_url_rule("/live", "live", views.live, access=Access.PUBLIC, operation=_LIVE)
    routes.add_url_rule("/ready", "ready", views.ready, access=Access.PUBLIC, operation=_READY)
    routes.add_url_rule("/detailed", "detailed", views.detailed, access=Access.TRUSTED_NETWORK, operation=_DETAILED)
    routes.add_url_rule("/metrics", "metrics", views.metrics, access=Access.TRUSTED_NETWORK, operation=_METRICS)
    return routes


def _wants_text() -> bool:
    """Returns whether the client prefers text. Compares prefixes, because Prometheus adds a version to the type."""
    for accepted, _quality in request.accept_mimetypes:
        if accepted.startswith(("text/plain", "application/openmetrics-text")):
            return True
        if accepted in ("application/json", "*/*"):
            return False
    return False


def _report(findings: dict[str, TimedFinding], checks: JsonObject) -> tuple[JsonObject, int]:
    status = overall(findings)
    body = {"status": status.value, "timestamp": clock.iso(clock.now()), "checks": checks}
    return body, 503 if status is Health.UNHEALTHY else 200


def _detail(timed: TimedFinding) -> JsonObject:
    finding = timed.finding
    return {
        "status": finding.status_text or finding.status.value,
        "reason": finding.message or None,
        "remedy": finding.remedy or None,
        "responseTime": round(timed.response_time_ms, 2),
        **finding.facts,
    }
