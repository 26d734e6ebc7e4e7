import hashlib

import pytest

from calyapp.errors import RateLimitError
from calyapp.web.api.failed_logins import LIMIT, FailedLogins
from calyapp.web.pipeline.rate_limit_window import WindowState

EMAIL = "asha@example.com"


class Counter:
    """Counts hits by key, without an end of the window."""

    def __init__(self):
        self.hits = {}

    def hit(self, limit, *key):
        self.hits[key] = self.hits.get(key, 0) + 1
        return self.peek(limit, *key)

    def peek(self, _limit, *key):
        return WindowState(self.hits.get(key, 0), 2_000_000_000.0)


@pytest.fixture
def counter():
    return Counter()


@pytest.fixture
def failed(app, counter):
    with app.test_request_context("/api/auth/login", method="POST"):
        app.preprocess_request()
        yield FailedLogins(counter, app.extensions["caly"].throttled_audit_log)


class TestFailedLogins:
    def test_are_limited_to_30_in_15_minutes(self):
        assert (LIMIT.amount, LIMIT.get_expiry()) == (30, 900)

    def test_are_refused_from_the_31st_attempt(self, failed):
        for _ in range(30):
            failed.refuse_if_too_many(EMAIL)
            failed.record(EMAIL, None, None)

        with pytest.raises(RateLimitError):
            failed.refuse_if_too_many(EMAIL)
        failed.refuse_if_too_many("ravi@example.com")

    def test_are_not_counted_by_a_check(self, failed, counter):
        failed.refuse_if_too_many(EMAIL)

        assert counter.hits == {}

    def test_are_audited_when_they_are_refused(self, failed, counter, query):
        counter.hits["failed-login", hashlib.sha256(EMAIL.encode()).hexdigest()] = 30

        with pytest.raises(RateLimitError):
            failed.refuse_if_too_many(EMAIL)

        assert query("SELECT event_type, status, description FROM audit_logs") == [
            ("LOGIN_FAILURE", "failure", "Too many failed logins")
        ]

    def test_do_not_reveal_the_address_to_the_storage(self, failed, counter):
        failed.record(EMAIL, None, None)

        assert "asha" not in str(counter.hits)

    def test_are_audited_with_a_masked_address(self, failed, query):
        failed.record(EMAIL, None, None)

        assert query("SELECT event_type, severity, resource_id, metadata FROM audit_logs") == [
            (
                *("LOGIN_FAILURE", "MEDIUM", "/api/auth/login"),
                {"email": "a***@example.com", "failuresInWindow": 1, "count": 1},
            )
        ]

    def test_are_audited_once_when_they_reach_the_limit(self, failed, query):
        for _ in range(31):
            failed.record(EMAIL, None, None)

        assert query("SELECT metadata FROM audit_logs WHERE event_type = 'RATE_LIMIT_EXCEEDED'") == [
            ({"email": "a***@example.com", "failuresInWindow": 30, "count": 1},)
        ]
