import pytest
from flask import g

from calyapp.audit.events import EventType
from calyapp.web.pipeline.request_audit import origin, request_entry, user_agent


@pytest.fixture
def requested(app):
    """`requested(headers)`: the context of a request to a route, after the pipeline and before its view."""

    def opened(**headers: str):
        context = app.test_request_context("/health/live", headers=headers, environ_base={"REMOTE_ADDR": "203.0.113.9"})
        context.push()
        contexts.append(context)
        app.preprocess_request()

    contexts = []
    yield opened
    for context in contexts:
        context.pop()


class TestUserAgent:
    def test_is_none_without_a_header(self, requested):
        requested()

        assert user_agent() is None

    def test_is_cut(self, requested):
        requested(User_Agent="x" * 600)

        assert user_agent() == "x" * 512

    def test_contains_no_phone_number(self, requested):
        requested(User_Agent="x" * 500 + " +919876543210")

        assert "9876543210" not in user_agent()


class TestOrigin:
    def test_describes_the_request(self, requested):
        requested(User_Agent="curl/8")

        assert (origin().via, origin().ip_address, origin().user_agent) == ("api", "203.0.113.9", "curl/8")
        assert origin().request_id == g.request_id


class TestRequestEntry:
    def test_describes_the_request(self, requested):
        requested(User_Agent="curl/8")

        entry = request_entry(EventType.ERROR_OCCURRED, "The request failed")

        assert (entry.event_type, entry.description) == (EventType.ERROR_OCCURRED, "The request failed")
        assert (entry.resource, entry.resource_id) == ("route", "/health/live")
        assert (entry.ip_address, entry.user_agent, entry.request_id) == ("203.0.113.9", "curl/8", g.request_id)

    def test_can_replace_a_field(self, requested):
        requested(User_Agent="curl/8")

        assert request_entry(EventType.ERROR_OCCURRED, "The request failed", user_agent=None).user_agent is None

    def test_exists_before_the_sender_is_identified(self, app):
        with app.test_request_context("/nowhere"):
            g.request_id = "1"
            entry = request_entry(EventType.ERROR_OCCURRED, "The request failed")

        assert (entry.client_id, entry.user_id, entry.resource_id) == (None, None, None)
