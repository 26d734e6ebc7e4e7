import re
from dataclasses import replace

import pytest

from calyapp.app import create_app
from calyapp.config import AppEnv
from calyapp.errors import (
    AppError,
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    DatabaseError,
    ExternalServiceError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from calyapp.web.pipeline.guard import Access

SECRET = "SELECT secret FROM /srv/caly"


@pytest.fixture
def failing(app):
    """`failing(error)`: the answer of a view that raises it."""

    def ask(error: Exception):
        def view():
            raise error

        app.add_url_rule("/failing", "failing", view, access=Access.PUBLIC)
        return app.test_client().get("/failing")

    return ask


class TestShape:
    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (ValidationError("x", {"a": ["b"]}), 400, "VALIDATION_ERROR"),
            (AuthenticationError(), 401, "AUTHENTICATION_ERROR"),
            (AuthorizationError(), 403, "AUTHORIZATION_ERROR"),
            (NotFoundError(), 404, "NOT_FOUND"),
            (ConflictError("x"), 409, "CONFLICT"),
            (RateLimitError(retry_after=7), 429, "RATE_LIMIT_EXCEEDED"),
            (DatabaseError(), 500, "DATABASE_ERROR"),
            (ExternalServiceError(), 503, "EXTERNAL_SERVICE_ERROR"),
            (RuntimeError(SECRET), 500, "INTERNAL_SERVER_ERROR"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
    )
    def test_is_the_same_for_every_error(self, failing, error, status, code):
        answer = failing(error)

        body = answer.json["error"]
        assert (answer.status_code, body["code"]) == (status, code)
        assert (
            {"code", "message", "timestamp", "requestId"}
            <= set(body)
            <= {*("code", "message", "timestamp", "requestId", "details", "retryAfter")}
        )
        assert body["requestId"] == answer.headers["X-Request-ID"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["timestamp"])
        assert SECRET not in answer.text

    def test_says_when_to_try_again(self, failing):
        answer = failing(RateLimitError(retry_after=7))

        assert (answer.headers["Retry-After"], answer.json["error"]["retryAfter"]) == ("7", 7)

    def test_names_the_fields(self, failing):
        assert failing(ValidationError("x", {"a": ["b"]})).json["error"]["details"] == {"a": ["b"]}

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/nowhere", 404, "NOT_FOUND"),
            ("PUT", "/health/live", 405, "METHOD_NOT_ALLOWED"),
        ],
    )
    def test_applies_to_the_frameworks_errors_too(self, client, method, path, status, code):
        answer = client.open(path, method=method)

        assert (answer.status_code, answer.json["error"]["code"]) == (status, code)


class TestStack:
    def test_is_shown_in_development_only(self, settings):
        def stack(environment: AppEnv) -> str | None:
            application = create_app(replace(settings, app_env=environment))
            application.add_url_rule("/failing", "failing", lambda: 1 / 0, access=Access.PUBLIC)
            answer = application.test_client().get("/failing")
            application.extensions["caly"].close()
            return answer.json["error"].get("stack")

        assert "ZeroDivisionError" in stack(AppEnv.DEVELOPMENT)
        assert stack(AppEnv.TESTING) is None


class TestAuditEntry:
    def test_records_that_a_request_failed(self, failing, query):
        answer = failing(RuntimeError(SECRET))

        assert query("SELECT event_type, severity, status, request_id, metadata FROM audit_logs") == [
            (
                "ERROR_OCCURRED",
                "HIGH",
                "failure",
                answer.headers["X-Request-ID"],
                {"code": "INTERNAL_SERVER_ERROR", "reason": "RuntimeError", "count": 1},
            )
        ]

    def test_does_not_record_a_404_outside_the_webhooks(self, client, query):
        client.get("/nowhere")

        assert query("SELECT count(*) FROM audit_logs") == [(0,)]


def test_every_error_class_has_its_own_code():
    classes = AppError.__subclasses__()

    assert len(classes) == 8
