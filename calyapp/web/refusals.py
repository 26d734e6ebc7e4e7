"""The body of every error, and the code, reason phrase and message of every HTTP status that refuses a request.

The texts are not taken from `http.HTTPStatus`, because Python renames statuses between releases and callers depend on
the codes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from calyapp import clock
from calyapp.web.routing import JsonObject


def error_body(
    code: str,
    message: str,
    request_id: str,
    *,
    details: Mapping[str, Sequence[str]] | None = None,
    retry_after: int | None = None,
    stack: str | None = None,
) -> JsonObject:
    """Returns the JSON body of an error. Optional members that are None or empty are left out."""
    required = {"code": code, "message": message, "timestamp": clock.iso(clock.now()), "requestId": request_id}
    optional = {"details": details, "retryAfter": retry_after, "stack": stack}
    return {"error": required | {name: value for name, value in optional.items() if value}}


class Refusal(NamedTuple):
    """The texts of one status: `code` for programs, `phrase` in the status line, `sentence` for people."""

    code: str
    phrase: str
    sentence: str


REFUSALS = {
    400: Refusal("BAD_REQUEST", "Bad Request", "The request cannot be read"),
    401: Refusal("UNAUTHORIZED", "Unauthorized", "Authentication is required"),
    403: Refusal("FORBIDDEN", "Forbidden", "Not allowed"),
    404: Refusal("NOT_FOUND", "Not Found", "There is no such address"),
    405: Refusal("METHOD_NOT_ALLOWED", "Method Not Allowed", "This address does not accept this method"),
    406: Refusal("NOT_ACCEPTABLE", "Not Acceptable", "No answer is available in a format that the request accepts"),
    408: Refusal("REQUEST_TIMEOUT", "Request Timeout", "The request took too long to arrive"),
    409: Refusal("CONFLICT", "Conflict", "The request contradicts what is already stored"),
    410: Refusal("GONE", "Gone", "The resource at this address no longer exists"),
    411: Refusal("LENGTH_REQUIRED", "Length Required", "The request must have a Content-Length"),
    412: Refusal("PRECONDITION_FAILED", "Precondition Failed", "A condition in the request's headers does not hold"),
    413: Refusal("PAYLOAD_TOO_LARGE", "Payload Too Large", "The body is larger than this address accepts"),
    414: Refusal("REQUEST_URI_TOO_LONG", "Request-URI Too Long", "The URL is too long"),
    415: Refusal("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type", "This address does not accept this content type"),
    416: Refusal(
        "REQUESTED_RANGE_NOT_SATISFIABLE",
        "Requested Range Not Satisfiable",
        "The requested range is outside of the content",
    ),
    417: Refusal("EXPECTATION_FAILED", "Expectation Failed", "This server cannot meet the request's expectation"),
    418: Refusal("IM_A_TEAPOT", "I'm a Teapot", "This server is a teapot"),
    421: Refusal("MISDIRECTED_REQUEST", "Misdirected Request", "This server does not answer for this host"),
    422: Refusal("UNPROCESSABLE_ENTITY", "Unprocessable Entity", "The content is well formed but invalid"),
    423: Refusal("LOCKED", "Locked", "The resource is locked"),
    424: Refusal("FAILED_DEPENDENCY", "Failed Dependency", "An action that this one depends on failed"),
    428: Refusal("PRECONDITION_REQUIRED", "Precondition Required", "The request must be conditional"),
    429: Refusal("TOO_MANY_REQUESTS", "Too Many Requests", "Too many requests"),
    431: Refusal(
        "REQUEST_HEADER_FIELDS_TOO_LARGE", "Request Header Fields Too Large", "The request's headers are too large"
    ),
    451: Refusal("UNAVAILABLE_FOR_LEGAL_REASONS", "Unavailable For Legal Reasons", "Not available for legal reasons"),
    500: Refusal("INTERNAL_SERVER_ERROR", "Internal Server Error", "An internal error occurred"),
    501: Refusal("NOT_IMPLEMENTED", "Not Implemented", "This server does not support this method"),
    502: Refusal("BAD_GATEWAY", "Bad Gateway", "A service behind this one did not answer"),
    503: Refusal("SERVICE_UNAVAILABLE", "Service Unavailable", "The service is not available. Try again later"),
    504: Refusal("GATEWAY_TIMEOUT", "Gateway Timeout", "A service behind this one did not answer in time"),
    505: Refusal(
        "HTTP_VERSION_NOT_SUPPORTED", "HTTP Version Not Supported", "This server supports only HTTP/1.0 and HTTP/1.1"
    ),
}
