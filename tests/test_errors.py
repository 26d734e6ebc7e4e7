"""The public errors. Their statuses, codes and severities are part of the contract."""

import pytest

from calyapp.errors import (
    AppError,
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    DatabaseAway,
    DatabaseError,
    DatabaseRejected,
    ExternalServiceError,
    NotFoundError,
    RateLimitError,
    Severity,
    ValidationError,
)


@pytest.mark.parametrize(
    ("error", "status", "code", "severity"),
    [
        (ValidationError("CallSid is missing"), 400, "VALIDATION_ERROR", Severity.LOW),
        (AuthenticationError(), 401, "AUTHENTICATION_ERROR", Severity.MEDIUM),
        (AuthorizationError(), 403, "AUTHORIZATION_ERROR", Severity.MEDIUM),
        (NotFoundError(), 404, "NOT_FOUND", Severity.LOW),
        (ConflictError("The number is taken"), 409, "CONFLICT", Severity.LOW),
        (RateLimitError(retry_after=60), 429, "RATE_LIMIT_EXCEEDED", Severity.MEDIUM),
        (DatabaseError(), 500, "DATABASE_ERROR", Severity.CRITICAL),
        (DatabaseRejected("SQLSTATE 22001"), 500, "DATABASE_ERROR", Severity.CRITICAL),
        (DatabaseAway(), 500, "DATABASE_ERROR", Severity.CRITICAL),
        (ExternalServiceError(), 503, "EXTERNAL_SERVICE_ERROR", Severity.HIGH),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, AppError) else "",
)
def test_every_class_keeps_its_status_code_and_severity(
    error: AppError, status: int, code: str, severity: Severity
) -> None:
    assert (error.status, error.code, error.severity) == (status, code, severity)


def test_str_returns_the_message() -> None:
    assert str(NotFoundError("Client not found")) == "Client not found"


def test_details_name_the_invalid_fields() -> None:
    error = ValidationError("CallSid is missing", {"CallSid": ["is missing"]})

    assert error.details == {"CallSid": ["is missing"]}


def test_a_rate_limit_error_has_the_seconds_until_a_retry() -> None:
    assert RateLimitError(retry_after=17).retry_after == 17


def test_only_a_broken_connection_counts_as_lost() -> None:
    assert not DatabaseAway().connection_lost
    assert DatabaseAway(connection_lost=True).connection_lost
