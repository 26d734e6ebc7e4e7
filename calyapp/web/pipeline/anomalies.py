"""What looks like an attack is reported: a warning, a count, an entry on the trail. Nothing is refused for it.

Never tells what was sent, only which pattern it shows and where. A failure in here is told of and harms no request.
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
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.audit.throttle import ThrottledAuditLog
from calyapp.errors import Severity
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.pipeline import body_limit
from calyapp.web.pipeline.proxy import client_address, client_neighbourhood, removed_headers

_WATCHED = ("webhooks", "api")
_OF_A_STRANGER = 1_024  # octets that are read of a request that no route takes: a stranger must not keep us busy
# The other patterns are attacks. In the free text of a client's own delivery one in a hundred is a harmless note.
_SEVERITY = {
    Pattern.SUSPICIOUS_HEADERS: Severity.HIGH,
    Pattern.OVERSIZED_REQUEST: Severity.MEDIUM,
    Pattern.MISSING_USER_AGENT: Severity.LOW,
}
_log = logging.getLogger(__name__)


def install(app: Flask, services: Services) -> None:
    """After guard and limits, so that who is refused costs nothing; after the body's limit, whose chunks it reads."""
    report = _Report(services.throttled_audit_log)
    for pattern in Pattern:
        metrics.ANOMALIES.labels(pattern.value)  # at zero from the start

    def watch() -> None:
        if request.url_rule is not None and not _is_watched():
            return
        try:
            report.all(inspect(_inspected()))
        except HTTPException:
            return  # the view meets it too, and answers it
        except Exception as failure:  # whatever it is, the request is answered as if nobody had looked
            metrics.ANOMALY_FAILURES.inc()
            # Only its kind: its message may quote what was sent.
            _log.error("a request could not be examined", extra={"fields": {"error": type(failure).__name__}})

    app.before_request(watch)


def _is_watched() -> bool:
    return request.path.split("/")[1].lower() in _WATCHED


def _has_key() -> bool:
    """Whether it is a delivery with a client's webhook key."""
    return request.blueprint == "webhooks" and g.client_id is not None


def _inspected() -> Inspected:
    if request.url_rule is None:
        return Inspected(
            path=request.path[:_OF_A_STRANGER],
            query=tuple(parse_qsl(request.query_string[:_OF_A_STRANGER].decode("utf-8", "replace"), True)),
            headers={"user-agent": request.user_agent.string[:_OF_A_STRANGER]},
            needs_user_agent=_is_watched(),
        )
    removed = removed_headers()
    # More than that is an upload, on its way to the disk: no view takes it as JSON.
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
        needs_user_agent=not _has_key(),  # Exotel documents none
    )


def _decoded(text: str) -> str:
    """A header as its sender meant it: WSGI takes octets for Latin-1."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")


def _form() -> Values:
    """As the view will read it, which answers what cannot be read. Only what the view reads too is touched."""
    request.get_data()  # kept, so that the view finds it; `form` alone would use it up
    return tuple((name or "", text) for name, text in request.form.items(multi=True))


def _json() -> Any:
    try:
        return json.loads(request.get_data(), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None  # the view says what is wrong with it


class _Report:
    def __init__(self, throttled_audit_log: ThrottledAuditLog) -> None:
        self._throttled_audit_log = throttled_audit_log

    def all(self, findings: Sequence[Anomaly]) -> None:
        """One report for each pattern, with the first place that shows it."""
        places: dict[Pattern, list[str]] = {}
        for finding in findings:
            places.setdefault(finding.pattern, []).append(finding.place)
        for pattern, found in places.items():
            self._tell(pattern, redact.text(found[0]), len(found))

    def _tell(self, pattern: Pattern, place: str, count: int) -> None:
        metrics.ANOMALIES.labels(pattern.value).inc()
        entry = _entry(pattern, place)
        # The severity too: entries of one kind are counted into the latest of them.
        kind = ("anomaly", str(g.client_id or client_neighbourhood()), pattern.value, str(entry.severity))
        # Written by the timer: no delivery waits for the trail. The log hears as often: it may share the spool's disk.
        if self._throttled_audit_log.record(kind, entry, later=True):
            fields = {"pattern": pattern.value, "place": place, "count": count}
            _log.warning("a request looks like an attack", extra={"fields": fields})


def _severity(pattern: Pattern) -> Severity:
    return _SEVERITY.get(pattern, Severity.HIGH if _has_key() else Severity.CRITICAL)


def _entry(pattern: Pattern, place: str) -> Entry:
    return Entry.now(
        EventType.SECURITY_VIOLATION,
        "A request looks like an attack",
        severity=_severity(pattern),
        status="failure",
        client_id=g.client_id,
        user_id=g.principal.user_id if g.principal else None,
        resource="route",
        resource_id=request.url_rule.rule if request.url_rule else None,
        ip_address=client_address(),
        request_id=g.request_id,
        metadata={"pattern": pattern.value, "place": place},
    )
