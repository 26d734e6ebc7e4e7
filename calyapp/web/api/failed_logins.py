"""Limits how many wrong passwords may be tried on one account, from all addresses together.

Counts by the e-mail address in the request, whether a user has it or not, so that neither the answer nor the limit
tells whether it exists. Refused attempts are not counted, so a window always ends after its 15 minutes. Open sessions
are not affected.
"""

import hashlib
from uuid import UUID

from limits import RateLimitItemPerMinute

from calyapp import metrics
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.audit.throttle import ThrottledAuditLog
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.pipeline.rate_limits import refusal
from calyapp.web.pipeline.request_audit import request_entry

LIMIT = RateLimitItemPerMinute(30, 15)


class FailedLogins:
    """Counts failed logins and audits them: one entry a second for each address and account, one when the limit is met.

    `user_id` and `client_id` are those of the account, if it exists. They are only for the audit log.
    """

    def __init__(self, counter: RateLimitWindows, throttled_audit_log: ThrottledAuditLog) -> None:
        self._counter = counter
        self._throttled_audit_log = throttled_audit_log

    def refuse_if_too_many(self, email: str, user_id: UUID | None = None, client_id: UUID | None = None) -> None:
        """Raises `RateLimitError` above the limit. The attempt is audited as a failed login, but not counted."""
        state = self._counter.peek(LIMIT, *_key(email))
        if state.count >= LIMIT.amount:
            entry = _entry(EventType.LOGIN_FAILURE, "Too many failed logins", email, state.count, user_id, client_id)
            self._throttled_audit_log.record(("login refused", client_address() or "", email), entry)
            raise refusal(LIMIT, state)

    def record(self, email: str, user_id: UUID | None, client_id: UUID | None) -> None:
        """Counts a failed login, and audits it."""
        metrics.LOGIN_FAILURES.inc()
        failures = self._counter.hit(LIMIT, *_key(email)).count
        description = "Wrong e-mail address or password"
        entry = _entry(EventType.LOGIN_FAILURE, description, email, failures, user_id, client_id)
        self._throttled_audit_log.record(("login", client_address() or "", email), entry)
        if failures == LIMIT.amount:  # exactly one worker sees this count, once a window
            description = "Too many failed logins"
            entry = _entry(EventType.RATE_LIMIT_EXCEEDED, description, email, failures, user_id, client_id)
            self._throttled_audit_log.record(("limit", *_key(email)), entry)


def _entry(
    event_type: EventType, description: str, email: str, failures: int, user_id: UUID | None, client_id: UUID | None
) -> Entry:
    metadata = {"email": _masked(email), "failuresInWindow": failures}
    return request_entry(
        event_type, description, status="failure", client_id=client_id, user_id=user_id, metadata=metadata
    )


def _key(email: str) -> tuple[str, str]:
    """Returns the window's key. The address is hashed, because it must not appear in the storage."""
    return "failed-login", hashlib.sha256(email.encode()).hexdigest()


def _masked(email: str) -> str:
    """Returns the address as people who know it recognise it: `a***@example.com`."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}"
