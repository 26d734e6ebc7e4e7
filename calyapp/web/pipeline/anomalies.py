"""Reports requests that look like attacks, as a warning, a count and an audit entry. Refuses nothing.

Reports never contain what was sent, only which pattern matched and where. A failure in this layer is logged and
counted, and does not affect the request.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException

from calyapp import metrics, redact
from calyapp.anomaly.rules import Anomaly, Pattern, inspect
from calyapp.anomaly.values import Inspected, Values, pairs
from calyapp.audit.events import EventType
from calyapp.audit.throttle import ThrottledAuditLog
from calyapp.errors import Severity
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.pipeline import body_limit
from calyapp.web.pipeline.proxy import client_neighbourhood, removed_headers
from calyapp.web.pipeline.request_audit import request_entry

_INSPECTED_AREAS = ("webhooks", "api")
_MAX_UNROUTED_LENGTH = (
    1_024  # read of each part of a request without a route, so that its sender cannot cause much work
)
# All other patterns are attacks. In the free text of a client's own delivery, about 1 % of the matches are harmless.
_SEVERITY = {
    Pattern.SUSPICIOUS_HEADERS: Severity.HIGH,
    Pattern.OVERSIZED_REQUEST: Severity.MEDIUM,
    Pattern.MISSING_USER_AGENT: Severity.LOW,
}
_log = logging.getLogger(__name__)


def install(app: Flask, services: Services) -> None:
    """Installs the layer after guard and limits, so that refused requests are not scanned, and after the body limit,
    which reads chunked bodies.
    """
    report = _Report(services.throttled_audit_log)
    for pattern in Pattern:
        metrics.ANOMALIES.labels(pattern.value)  # exported as zero from the start

    def inspect_request() -> None:
        if request.url_rule is not None and not _is_inspected_area():
            return
        try:
            report.all(inspect(_inspected()))
        except HTTPException:
            return  # the view raises it too, and the error is answered there
        except Exception as failure:  # a failed inspection must not affect the answer
            metrics.ANOMALY_FAILURES.inc()
            # Only the type is logged: the message may quote what was sent.
            _log.error("a request could not be inspected", extra={"fields": {"error": type(failure).__name__}})

    app.before_request(inspect_request)


def _is_inspected_area() -> bool:
    return request.path.split("/")[1].lower() in _INSPECTED_AREAS


def _has_key() -> bool:
    """Returns whether the request is a delivery with a client's webhook key."""
    return request.blueprint == "webhooks" and g.client_id is not None


def _inspected() -> Inspected:
    if request.url_rule is None:
        return Inspected(
            path=request.path[:_MAX_UNROUTED_LENGTH],
            query=tuple(parse_qsl(request.query_string[:_MAX_UNROUTED_LENGTH].decode("utf-8", "replace"), True)),
            headers={"user-agent": request.user_agent.string[:_MAX_UNROUTED_LENGTH]},
            needs_user_agent=_is_inspected_area(),
        )
    removed = removed_headers()
    # A larger body is an upload, which is streamed to disk. No view parses it as JSON.
    is_json = request.method == "POST" and request.is_json and (request.content_length or 0) <= body_limit.MAX_BYTES
    is_form = request.method == "POST" and request.blueprint == "webhooks" and not is_json
    return Inspected(
        path=request.path,
        query=tuple((name, text) for name, text in request.args.items(multi=True) if name != parameters.KEY),
        headers={name.lower(): _decoded(text) for name, text in request.headers} | (removed or {}),
        form=_form() if is_form else (),
        json=_json() if is_json else None,
        octets=(request.content_length or 0) + len(request.query_string) + len(request.path),
        is_trusted=removed is None,
        needs_user_agent=not _has_key(),  # Exotel documents no User-Agent
    )


def _decoded(text: str) -> str:
    """Returns a header's text decoded as UTF-8. WSGI decodes headers as Latin-1."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")


def _form() -> Values:
    """Returns the form's fields. Reads only what the view reads too; the view answers a form that cannot be read."""
    request.get_data()  # caches the body for the view: `form` alone would consume the stream
    return tuple((name or "", text) for name, text in request.form.items(multi=True))


def _json() -> Any:
    try:
        return json.loads(request.get_data(), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None  # the view answers invalid JSON with an error


class _Report:
    def __init__(self, throttled_audit_log: ThrottledAuditLog) -> None:
        self._throttled_audit_log = throttled_audit_log

    def all(self, anomalies: Sequence[Anomaly]) -> None:
        """Reports each pattern once, with the first place that matches it."""
        places_by_pattern: dict[Pattern, list[str]] = {}
        for anomaly in anomalies:
            places_by_pattern.setdefault(anomaly.pattern, []).append(anomaly.place)
        for pattern, places in places_by_pattern.items():
            self._report(pattern, redact.text(places[0]), len(places))

    def _report(self, pattern: Pattern, place: str, count: int) -> None:
        metrics.ANOMALIES.labels(pattern.value).inc()
        severity = _severity(pattern)
        entry = request_entry(
            EventType.SECURITY_VIOLATION,
            "The request looks like an attack",
            severity=severity,
            status="failure",
            user_agent=None,  # it may be the attack itself
            metadata={"pattern": pattern.value, "place": place},
        )
        # The kind includes the severity, because a throttled kind writes only the latest of its entries.
        kind = ("anomaly", str(g.client_id or client_neighbourhood()), pattern.value, str(severity))
        # The timer writes the entry, so that no delivery waits for the audit log. The warning is throttled with it,
        # because the log may share a disk with the spool.
        if self._throttled_audit_log.record(kind, entry, later=True):
            fields = {"pattern": pattern.value, "place": place, "count": count}
            _log.warning("a request looks like an attack", extra={"fields": fields})


def _severity(pattern: Pattern) -> Severity:
    return _SEVERITY.get(pattern, Severity.HIGH if _has_key() else Severity.CRITICAL)
