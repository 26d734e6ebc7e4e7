"""Every error in one shape, whatever raised it; and what an error leaves behind in log and audit trail."""

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from calyapp import logs, metrics, redact
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.audit.throttle import ThrottledAuditLog
from calyapp.config import AppEnv
from calyapp.errors import AppError, DatabaseAway, Severity
from calyapp.services import Services
from calyapp.web.error_shape import error_shape
from calyapp.web.pipeline.guard import concerned_client
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.refusals import REFUSALS

_LEVEL = {
    Severity.LOW: logging.INFO,
    Severity.MEDIUM: logging.WARNING,
    Severity.HIGH: logging.ERROR,
    Severity.CRITICAL: logging.CRITICAL,
}
# A wrong method is no delivery, and what comes too often is audited once a window, by `rate_limits`.
_AUDITED_ELSEWHERE = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.TOO_MANY_REQUESTS)
_log = logging.getLogger(__name__)


def install(app: Flask, services: Services) -> None:
    """Answer all errors, those that Flask and Werkzeug raise included."""
    answers = _ErrorResponses(services)
    app.register_error_handler(HTTPException, answers.of_http)
    app.register_error_handler(AppError, answers.of_ours)
    app.register_error_handler(Exception, answers.unexpected)


class _ErrorResponses:
    def __init__(self, services: Services) -> None:
        self._throttled: ThrottledAuditLog = services.throttled_audit_log
        self._shows_stack = services.settings.app_env is AppEnv.DEVELOPMENT

    def of_ours(self, error: AppError) -> Response:
        # The access log has the reason. While the database is away, a traceback for each delivery would fill the disk.
        if error.status >= 500 and not isinstance(error, DatabaseAway):
            _log.log(_LEVEL[error.severity], "%s", error.message, exc_info=True)
        return self._answer(error, error)

    def of_http(self, error: HTTPException) -> Response:
        status = error.code or 500
        refusal = REFUSALS[status]
        response = self._answer(AppError(refusal.sentence, status, refusal.code), error)
        for name, value in error.get_headers():
            if name not in ("Content-Type", "Content-Length"):
                response.headers.add(name, value)  # `Allow`, which a 405 must carry
        return response

    def unexpected(self, error: Exception) -> Response:
        _log.critical("unexpected error", exc_info=error)
        refusal = REFUSALS[500]
        return self._answer(AppError(refusal.sentence, 500, refusal.code), error)

    def _answer(self, shown: AppError, cause: Exception) -> Response:
        self._audit(shown, cause)
        g.error = shown
        response = jsonify(self._body(shown, cause))
        response.status_code = shown.status
        if shown.retry_after is not None:
            response.headers["Retry-After"] = str(shown.retry_after)
        return response

    def _body(self, shown: AppError, cause: Exception) -> dict[str, Any]:
        shows_stack = self._shows_stack and shown.status >= 500
        return error_shape(
            shown.code,
            shown.message,
            g.request_id,
            details=shown.details,
            retry_after=shown.retry_after,
            stack=logs.story(cause) if shows_stack else None,
        )

    def _audit(self, shown: AppError, cause: Exception) -> None:
        if shown.status >= 500:
            reason = type(cause).__name__
            entry = self._entry(EventType.ERROR_OCCURRED, "A request failed", shown, reason)
            is_away = isinstance(cause, DatabaseAway)
            self._throttled.record(
                ("error", reason, request.endpoint or "", str(entry.client_id)), entry, later=is_away
            )
        elif (request.blueprint == "webhooks") and shown.status not in _AUDITED_ELSEWHERE:
            entry = self._entry(EventType.WEBHOOK_REJECTED, "Delivery rejected", shown, shown.message)
            # All of Exotel's deliveries come from a few addresses: the client and the reason tell them apart.
            source = (client_address() or "", str(entry.client_id))
            self._throttled.record(("rejected", *source, shown.code, shown.message), entry)
            metrics.DELIVERIES.labels(_route(), "rejected").inc()

    def _entry(self, event: EventType, description: str, shown: AppError, reason: str) -> Entry:
        return Entry.now(
            event,
            description,
            status="failure",
            client_id=concerned_client(),
            resource="route",
            resource_id=request.url_rule.rule if request.url_rule else None,
            ip_address=client_address(),
            user_agent=redact.text(request.user_agent.string)[:512] or None,
            request_id=g.request_id,
            metadata={"code": shown.code, "reason": reason},
        )


def _route() -> str:
    """The last word of the endpoint, as deliveries are counted by."""
    return (request.endpoint or "").rpartition(".")[2].replace("_", "-")
