"""The application's errors: the messages and codes that clients see. Knows no HTTP framework and no database."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """The severity of an event or an error. It decides the level of the log line."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class Explanation(NamedTuple):
    """What is wrong and what to do next, a sentence each. Contains no secret, no address and no number."""

    found: str
    """Without the full stop, so that a caller can continue the sentence."""
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}. {self.remedy}"


class AppError(Exception):
    """An error whose message can be shown to any client: it never contains SQL, a path, a number or a key."""

    def __init__(
        self,
        message: str,
        status: int,
        code: str,
        *,
        severity: Severity = Severity.LOW,
        details: Mapping[str, Sequence[str]] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.severity = severity
        self.details = details
        self.retry_after = retry_after


class ValidationError(AppError):
    """The content of the request is invalid. `details` maps each field to its problems."""

    def __init__(self, message: str, details: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(message, 400, "VALIDATION_ERROR", details=details)


class AuthenticationError(AppError):
    """The key or token is missing or invalid."""

    def __init__(self, message: str = "Authentication failed") -> None:
        super().__init__(message, 401, "AUTHENTICATION_ERROR", severity=Severity.MEDIUM)


class AuthorizationError(AppError):
    """The principal is known but has no permission."""

    def __init__(self, message: str = "Not allowed") -> None:
        super().__init__(message, 403, "AUTHORIZATION_ERROR", severity=Severity.MEDIUM)


class NotFoundError(AppError):
    """The resource does not exist, or belongs to another client. The two cases are not distinguished."""

    def __init__(self, message: str = "Not found") -> None:
        super().__init__(message, 404, "NOT_FOUND")


class ConflictError(AppError):
    """The request is valid but contradicts what is stored."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 409, "CONFLICT")


class RateLimitError(AppError):
    """Too many requests. `retry_after` is the number of seconds after which to try again."""

    def __init__(self, message: str = "Too many requests", *, retry_after: int) -> None:
        super().__init__(message, 429, "RATE_LIMIT_EXCEEDED", severity=Severity.MEDIUM, retry_after=retry_after)


class DatabaseError(AppError):
    """The database failed. `__cause__` holds the driver's error, for the log only."""

    def __init__(self, message: str = "The database could not answer") -> None:
        super().__init__(message, 500, "DATABASE_ERROR", severity=Severity.CRITICAL)


class DatabaseAway(DatabaseError):  # noqa: N818 — named after the state
    """The database is unavailable: it cannot be reached, refuses connections or answers too late. A retry may succeed.

    `connection_lost` says that an open connection broke, so that a new connection may succeed at once.
    """

    def __init__(self, message: str = "The database could not be reached", *, connection_lost: bool = False) -> None:
        super().__init__(message)
        self.connection_lost = connection_lost


class DatabaseRejected(DatabaseError):  # noqa: N818 — named after the outcome
    """The database refuses this content, so a retry is useless. `reason` is a code without any content."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class ExternalServiceError(AppError):
    """A service that Caly depends on failed."""

    def __init__(self, message: str = "A service that Caly depends on is unavailable") -> None:
        super().__init__(message, 503, "EXTERNAL_SERVICE_ERROR", severity=Severity.HIGH)
