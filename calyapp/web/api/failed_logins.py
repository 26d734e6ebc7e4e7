"""How often a wrong password may be tried on one account, from all addresses together.

Counted by the address that was written, whether a user has it or not: neither the answer nor the limit tells. What is
refused here is not counted, so a window ends after its fifteen minutes whatever is tried meanwhile; and who is signed
in stays so.
"""

import hashlib
from typing import Any
from uuid import UUID

from flask import g, request
from limits import RateLimitItemPerMinute

from calyapp import metrics
from calyapp.access.principal import Origin
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.audit.throttle import ThrottledAuditLog
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.pipeline.rate_limits import refusal

LIMIT = RateLimitItemPerMinute(30, 15)


class FailedLogins:
    """Counts them, and puts them on the trail: one entry a second for each address and account, one for its closing."""

    def __init__(self, counter: RateLimitWindows, throttled_audit_log: ThrottledAuditLog) -> None:
        self._counter = counter
        self._throttled_audit_log = throttled_audit_log

    def refuse_if_too_many(
        self, email: str, origin: Origin, user_id: UUID | None = None, client_id: UUID | None = None
    ) -> None:
        """Raises `RateLimitError`. The refused attempt is on the trail as a failed login, but is not counted as one."""
        hits = self._counter.peek(LIMIT, *_key(email))
        if hits.count >= LIMIT.amount:
            shown = {"email": _masked(email), "failuresInWindow": hits.count}
            entry = _entry(EventType.LOGIN_FAILURE, "Too many failed logins", origin, user_id, client_id, shown)
            self._throttled_audit_log.record(("login refused", origin.ip_address or "", email), entry)
            raise refusal(LIMIT, hits)

    def note(self, email: str, origin: Origin, user_id: UUID | None, client_id: UUID | None) -> None:
        """Count one; whose account it is, if anybody's, and of which client, is for the trail alone."""
        metrics.LOGIN_FAILURES.inc()
        failures = self._counter.hit(LIMIT, *_key(email)).count
        shown = {"email": _masked(email), "failuresInWindow": failures}
        entry = _entry(EventType.LOGIN_FAILURE, "Wrong e-mail address or password", origin, user_id, client_id, shown)
        self._throttled_audit_log.record(("login", origin.ip_address or "", email), entry)
        if failures == LIMIT.amount:  # the last one, of all workers: once a window
            closed = _entry(EventType.RATE_LIMIT_EXCEEDED, "Too many failed logins", origin, user_id, client_id, shown)
            self._throttled_audit_log.record(("limit", *_key(email)), closed)


def _entry(
    event: EventType,
    description: str,
    origin: Origin,
    user_id: UUID | None,
    client_id: UUID | None,
    shown: dict[str, Any],
) -> Entry:
    return Entry.now(
        event,
        description,
        status="failure",
        client_id=client_id,
        user_id=user_id,
        resource="route",
        resource_id=request.url_rule.rule if request.url_rule else None,
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        request_id=g.request_id,
        metadata=shown,
    )


def _key(email: str) -> tuple[str, str]:
    """What strangers wrote does not go into the names of the storage as it is."""
    return "failed-login", hashlib.sha256(email.encode()).hexdigest()


def _masked(email: str) -> str:
    """Enough for those who know the address: `a***@example.com`."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}"
