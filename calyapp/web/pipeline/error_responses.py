"""Answers every error in one shape, and records it in the log, the metrics and the audit log."""

import logging
from http import HTTPStatus

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from calyapp import logs, metrics
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.audit.throttle import ThrottledAuditLog
from calyapp.config import AppEnv
from calyapp.errors import AppError, DatabaseAway, Severity
from calyapp.services import Services
from calyapp.web.pipeline.guard import concerned_client
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.pipeline.request_audit import request_entry
from calyapp.web.refusals import REFUSALS, error_body
from calyapp.web.routing import JsonObject

_LEVEL = {
    Severity.LOW: logging.INFO,
    Severity.MEDIUM: logging.WARNING,
    Severity.HIGH: logging.ERROR,
    Severity.CRITICAL: logging.CRITICAL,
}
# A request with a wrong method is not a delivery. `rate_limits` audits deliveries over the limit, once a window.
_NOT_REJECTED = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.TOO_MANY_REQUESTS)
_log = logging.getLogger(__name__)


def install(app: Flask, services: Services) -> None:
    """Registers the handlers for all errors: those of Caly, of Flask and Werkzeug, and unexpected ones."""
    responses = _ErrorResponses(services)
    app.register_error_handler(HTTPException, responses.to_http_exception)
    app.register_error_handler(AppError, responses.to_app_error)
    app.register_error_handler(Exception, responses.to_unexpected)


class _ErrorResponses:
    def __init__(self, services: Services) -> None:
        self._throttled: ThrottledAuditLog = services.throttled_audit_log
        self._shows_stack = services.settings.app_env is AppEnv.DEVELOPMENT

    def to_app_error(self, error: AppError) -> Response:
        # The access log has the reason. While the database is away, a traceback for each delivery would fill the disk.
        if error.status >= 500 and not isinstance(error, DatabaseAway):
            _log.log(_LEVEL[error.severity], "%s", error.message, exc_info=True)
        return self._response(error, error)

    def to_http_exception(self, error: HTTPException) -> Response:
        status = error.code or 500
        refusal = REFUSALS[status]
        response = self._response(AppError(refusal.sentence, status, refusal.code), error)
        for name, value in error.get_headers():
            if name not in ("Content-Type", "Content-Length"):
                response.headers.add(name, value)  # such as `Allow`, which a 405 must have
        return response

    def to_unexpected(self, error: Exception) -> Response:
        _log.critical("unexpected error", exc_info=error)
        refusal = REFUSALS[500]
        return self._response(AppError(refusal.sentence, 500, refusal.code), error)

    def _response(self, error: AppError, cause: Exception) -> Response:
        self._audit(error, cause)
        g.error = error
        response = jsonify(self._body(error, cause))
        response.status_code = error.status
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    def _body(self, error: AppError, cause: Exception) -> JsonObject:
        shows_stack = self._shows_stack and error.status >= 500
        return error_body(
            error.code,
            error.message,
            g.request_id,
            details=error.details,
            retry_after=error.retry_after,
            stack=logs.story(cause) if shows_stack else None,
        )

    def _audit(self, error: AppError, cause: Exception) -> None:
        if error.status >= 500:
            reason = type(cause).__name__
            entry = _entry(EventType.ERROR_OCCURRED, "The request failed", error, reason)
            is_away = isinstance(cause, DatabaseAway)
            self._throttled.record(
                ("error", reason, request.endpoint or "", str(entry.client_id)), entry, later=is_away
            )
        elif request.blueprint == "webhooks" and error.status not in _NOT_REJECTED:
            entry = _entry(EventType.WEBHOOK_REJECTED, "Delivery rejected", error, error.message)
            # Exotel sends from a few addresses. The client and the reason distinguish its deliveries.
            source = (client_address() or "", str(entry.client_id))
            self._throttled.record(("rejected", *source, error.code, error.message), entry)
            metrics.DELIVERIES.labels(_route(), "rejected").inc()


def _entry(event_type: EventType, description: str, error: AppError, reason: str) -> Entry:
    metadata = {"code": error.code, "reason": reason}
    return request_entry(event_type, description, status="failure", client_id=concerned_client(), metadata=metadata)


def _route() -> str:
    """Returns the route's name as the metric of deliveries has it."""
    return (request.endpoint or "").rpartition(".")[2].replace("_", "-")
