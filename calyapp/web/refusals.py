"""The code, the reason phrase and the sentence of every HTTP status that refuses a request.

Callers rely on them, so they are ours: `http.HTTPStatus` renames statuses from one Python release to the next.
"""

from typing import NamedTuple


class Refusal(NamedTuple):
    """How one status is told: `code` to programs, `phrase` in the status line, `sentence` to people."""

    code: str
    phrase: str
    sentence: str


REFUSALS = {
    400: Refusal("BAD_REQUEST", "Bad Request", "The request cannot be read"),
    401: Refusal("UNAUTHORIZED", "Unauthorized", "Authentication is required"),
    403: Refusal("FORBIDDEN", "Forbidden", "Not allowed"),
    404: Refusal("NOT_FOUND", "Not Found", "There is nothing at this address"),
    405: Refusal("METHOD_NOT_ALLOWED", "Method Not Allowed", "This address does not take this method"),
    406: Refusal("NOT_ACCEPTABLE", "Not Acceptable", "There is no answer in a format that the request accepts"),
    408: Refusal("REQUEST_TIMEOUT", "Request Timeout", "The request took too long to arrive"),
    409: Refusal("CONFLICT", "Conflict", "The request contradicts what is already stored"),
    410: Refusal("GONE", "Gone", "What was at this address is gone"),
    411: Refusal("LENGTH_REQUIRED", "Length Required", "The request must say how long its body is"),
    412: Refusal("PRECONDITION_FAILED", "Precondition Failed", "A condition in the request's headers does not hold"),
    413: Refusal("PAYLOAD_TOO_LARGE", "Payload Too Large", "The body is larger than this address takes"),
    414: Refusal("REQUEST_URI_TOO_LONG", "Request-URI Too Long", "The address is too long"),
    415: Refusal("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type", "This address does not take this content type"),
    416: Refusal(
        "REQUESTED_RANGE_NOT_SATISFIABLE",
        "Requested Range Not Satisfiable",
        "The requested range lies outside of the content",
    ),
    417: Refusal("EXPECTATION_FAILED", "Expectation Failed", "The request expects what this server cannot do"),
    418: Refusal("IM_A_TEAPOT", "I'm a Teapot", "This server is a teapot"),
    421: Refusal("MISDIRECTED_REQUEST", "Misdirected Request", "This server does not answer for this host"),
    422: Refusal("UNPROCESSABLE_ENTITY", "Unprocessable Entity", "The content is well formed, but makes no sense"),
    423: Refusal("LOCKED", "Locked", "This is locked"),
    424: Refusal("FAILED_DEPENDENCY", "Failed Dependency", "Another action, which this one needs, failed"),
    428: Refusal("PRECONDITION_REQUIRED", "Precondition Required", "The request must be conditional"),
    429: Refusal("TOO_MANY_REQUESTS", "Too Many Requests", "Too many requests"),
    431: Refusal(
        "REQUEST_HEADER_FIELDS_TOO_LARGE", "Request Header Fields Too Large", "The request's headers are too large"
    ),
    451: Refusal("UNAVAILABLE_FOR_LEGAL_REASONS", "Unavailable For Legal Reasons", "Not available for legal reasons"),
    500: Refusal("INTERNAL_SERVER_ERROR", "Internal Server Error", "Something went wrong on our side"),
    501: Refusal("NOT_IMPLEMENTED", "Not Implemented", "This server does not know this method"),
    502: Refusal("BAD_GATEWAY", "Bad Gateway", "A service behind this one did not answer"),
    503: Refusal("SERVICE_UNAVAILABLE", "Service Unavailable", "The service is not available; try again"),
    504: Refusal("GATEWAY_TIMEOUT", "Gateway Timeout", "A service behind this one did not answer in time"),
    505: Refusal("HTTP_VERSION_NOT_SUPPORTED", "HTTP Version Not Supported", "Only HTTP/1.0 and HTTP/1.1 are taken"),
}
