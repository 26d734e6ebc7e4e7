"""The one shape of every error that the outside sees."""

from collections.abc import Mapping, Sequence
from typing import Any

from calyapp import clock


def error_shape(
    code: str,
    message: str,
    request_id: str,
    *,
    details: Mapping[str, Sequence[str]] | None = None,
    retry_after: int | None = None,
    stack: str | None = None,
) -> dict[str, Any]:
    """The JSON body; what is None or empty is left out."""
    told = {"code": code, "message": message, "timestamp": clock.iso(clock.now()), "requestId": request_id}
    rest = {"details": details, "retryAfter": retry_after, "stack": stack}
    return {"error": told | {name: value for name, value in rest.items() if value}}
