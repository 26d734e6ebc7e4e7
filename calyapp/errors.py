"""What can go wrong, in the words and codes that the outside sees. Knows nothing of HTTP frameworks or databases."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How much an event or an error matters; decides the level of its log line."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class Explanation(NamedTuple):
    """What is wrong, and what to do next; each a sentence. Holds no secret, no address and no number."""

    found: str
    """Without its full stop, so that a sentence can go on after it."""
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}. {self.remedy}"


class AppError(Exception):
    """An error that may be shown to a stranger: its message never holds SQL, a path, a number or a key."""

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
    """The request's content is wrong; `details` maps each field to what is wrong with it."""

    def __init__(self, message: str, details: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(message, 400, "VALIDATION_ERROR", details=details)


class AuthenticationError(AppError):
    """Nobody we know: no key or token, or a wrong one."""

    def __init__(self, message: str = "Authentication failed") -> None:
        super().__init__(message, 401, "AUTHENTICATION_ERROR", severity=Severity.MEDIUM)


class AuthorizationError(AppError):
    """Known, but not allowed."""

    def __init__(self, message: str = "Not allowed") -> None:
        super().__init__(message, 403, "AUTHORIZATION_ERROR", severity=Severity.MEDIUM)


class NotFoundError(AppError):
    """No such thing, or one that belongs to somebody else: the two are not told apart."""

    def __init__(self, message: str = "Not found") -> None:
        super().__init__(message, 404, "NOT_FOUND")


class ConflictError(AppError):
    """The request is well formed but contradicts what is already stored."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 409, "CONFLICT")


class RateLimitError(AppError):
    """Too often; `retry_after` says in how many seconds to come back."""

    def __init__(self, message: str = "Too many requests", *, retry_after: int) -> None:
        super().__init__(message, 429, "RATE_LIMIT_EXCEEDED", severity=Severity.MEDIUM, retry_after=retry_after)


class DatabaseError(AppError):
    """The database failed; the cause travels as `__cause__`, for the log only."""

    def __init__(self, message: str = "The database could not answer") -> None:
        super().__init__(message, 500, "DATABASE_ERROR", severity=Severity.CRITICAL)


class DatabaseAway(DatabaseError):  # noqa: N818 — it is the state that is named
    """The database cannot be reached, refuses connections or answers too late: the same request may succeed later.

    `connection_lost` tells that an open connection broke, so that a fresh one may do at once.
    """

    def __init__(self, message: str = "The database could not be reached", *, connection_lost: bool = False) -> None:
        super().__init__(message)
        self.connection_lost = connection_lost


class DatabaseRejected(DatabaseError):  # noqa: N818 — it is what became of it that is named
    """The database refuses this content: to try again is in vain. `reason` is a code, and holds nothing of it."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class ExternalServiceError(AppError):
    """A service that we depend on failed."""

    def __init__(self, message: str = "A service we depend on is unavailable") -> None:
        super().__init__(message, 503, "EXTERNAL_SERVICE_ERROR", severity=Severity.HIGH)
