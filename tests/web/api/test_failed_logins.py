import hashlib

import pytest

from calyapp.access.principal import Origin
from calyapp.errors import RateLimitError
from calyapp.web.api.failed_logins import LIMIT, FailedLogins
from calyapp.web.pipeline.rate_limit_window import WindowState

EMAIL = "asha@example.com"
ORIGIN = Origin("api", "203.0.113.9")


class Counter:
    """Remembers under which key how often."""

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
    def test_are_thirty_in_a_quarter_of_an_hour(self):
        assert (LIMIT.amount, LIMIT.get_expiry()) == (30, 900)

    def test_are_refused_from_the_thirty_first_on(self, failed):
        for _ in range(30):
            failed.refuse_if_too_many(EMAIL, ORIGIN)
            failed.note(EMAIL, ORIGIN, None, None)

        with pytest.raises(RateLimitError):
            failed.refuse_if_too_many(EMAIL, ORIGIN)
        failed.refuse_if_too_many("ravi@example.com", ORIGIN)

    def test_are_not_counted_by_asking(self, failed, counter):
        failed.refuse_if_too_many(EMAIL, ORIGIN)

        assert counter.hits == {}

    def test_are_on_the_trail_when_they_are_refused_too(self, failed, counter, query):
        counter.hits["failed-login", hashlib.sha256(EMAIL.encode()).hexdigest()] = 30

        with pytest.raises(RateLimitError):
            failed.refuse_if_too_many(EMAIL, ORIGIN)

        assert query("SELECT event_type, status, description FROM audit_logs") == [
            ("LOGIN_FAILURE", "failure", "Too many failed logins")
        ]

    def test_name_nobody_to_the_storage(self, failed, counter):
        failed.note(EMAIL, ORIGIN, None, None)

        assert "asha" not in str(counter.hits)

    def test_are_on_the_trail_by_a_masked_address(self, failed, query):
        failed.note(EMAIL, ORIGIN, None, None)

        assert query("SELECT event_type, severity, resource_id, metadata FROM audit_logs") == [
            (
                *("LOGIN_FAILURE", "MEDIUM", "/api/auth/login"),
                {"email": "a***@example.com", "failuresInWindow": 1, "count": 1},
            )
        ]

    def test_are_on_the_trail_when_they_close_an_account(self, failed, query):
        for _ in range(31):
            failed.note(EMAIL, ORIGIN, None, None)

        assert query("SELECT metadata FROM audit_logs WHERE event_type = 'RATE_LIMIT_EXCEEDED'") == [
            ({"email": "a***@example.com", "failuresInWindow": 30, "count": 1},)
        ]
