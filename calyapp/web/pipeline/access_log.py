"""Writes one log line for each request, and counts the request in the metrics."""

import logging
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request

from calyapp import metrics, redact
from calyapp.db import queries

SLOW_SECONDS = 1.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PAGE_KB = 4
_WITH_PATH_IN_LOG = (404, 405)  # statuses of a mistyped URL
_MAX_PATH_LENGTH = 256
_log = logging.getLogger(__name__)


def install(app: Flask) -> None:
    """Installs the layer early in the pipeline, so that requests that later layers refuse are logged and counted."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_close)


def _begin() -> None:
    g.began = time.perf_counter()
    g.resident_pages = _resident_pages()
    g.scopes = ExitStack()
    g.tally = g.scopes.enter_context(queries.tallied())


def _finish(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    endpoint = request.endpoint or "unknown"
    method = request.method if request.method in _METHODS else "OTHER"
    metrics.HTTP_REQUESTS.labels(endpoint, method, str(response.status_code)).inc()
    metrics.HTTP_REQUEST_SECONDS.labels(endpoint).observe(seconds)
    if seconds > SLOW_SECONDS:
        metrics.HTTP_SLOW_REQUESTS.inc()
    _log.log(_level(endpoint, response.status_code, seconds), "request", extra={"fields": _fields(response, seconds)})
    return response


def _fields(response: Response, seconds: float) -> dict[str, Any]:
    client_id, call_id, error = g.get("client_id"), g.get("call_id"), g.get("error")
    return {
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule else None,
        **({"path": _path()} if response.status_code in _WITH_PATH_IN_LOG else {}),
        "status": response.status_code,
        **({"code": error.code, "reason": error.message} if error else {}),
        "durationMs": round(seconds * 1000, 2),
        "bytes": response.calculate_content_length(),
        "clientId": str(client_id) if client_id else None,
        "callId": str(call_id) if call_id else None,
        "queries": g.tally.count,
        "queryMs": round(g.tally.milliseconds, 2),
        "memoryGrowthKb": (_resident_pages() - g.resident_pages) * _PAGE_KB,
        "slow": seconds > SLOW_SECONDS,
    }


def _path() -> str:
    """Returns the requested path. It is redacted before it is cut, because half a key would not be recognised."""
    return redact.text(request.path)[:_MAX_PATH_LENGTH]


def _level(endpoint: str, status: int, seconds: float) -> int:
    if status >= 500:
        return logging.ERROR
    if seconds > SLOW_SECONDS:
        return logging.WARNING
    if endpoint.startswith("health."):
        return logging.DEBUG
    return logging.WARNING if status >= 400 else logging.INFO


def _resident_pages() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1])


def _close(_error: BaseException | None) -> None:
    if scopes := g.pop("scopes", None):
        scopes.close()
