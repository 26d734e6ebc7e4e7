"""The entry point: finds which of six patterns of attack a request shows, and where. Only reports."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from calyapp.anomaly import command, request_shape, sql, xss
from calyapp.anomaly.normalise import readings, windows
from calyapp.anomaly.plain import is_plain
from calyapp.anomaly.program import edges, is_program
from calyapp.anomaly.request_shape import MAX_INSPECTED_BYTES
from calyapp.anomaly.values import Inspected, notable


class Pattern(StrEnum):
    """The kinds of attack."""

    SQL_INJECTION = "sql_injection"
    XSS = "xss"
    COMMAND_INJECTION = "command_injection"
    OVERSIZED_REQUEST = "oversized_request"
    MISSING_USER_AGENT = "missing_user_agent"
    SUSPICIOUS_HEADERS = "suspicious_headers"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A pattern, and the place in the request that shows it."""

    pattern: Pattern
    place: str


_TESTS: tuple[tuple[Pattern, Callable[[str], bool]], ...] = (
    (Pattern.SQL_INJECTION, sql.is_injection),
    (Pattern.XSS, xss.is_scripting),
    (Pattern.COMMAND_INJECTION, command.is_injection),
)
_TEST = dict(_TESTS)
# A shorter value costs this many characters: thousands of short values take longer than one long value.
_MIN_VALUE_COST = 48


def inspect(request: Inspected) -> tuple[Anomaly, ...]:
    """Returns the anomalies, each pattern once for each place. Never raises. Takes linear time."""
    return tuple(dict.fromkeys((*_by_shape(request), *_by_value(request))))


def patterns(value: str) -> tuple[Pattern, ...]:
    """Returns which of SQL injection, cross-site scripting and command injection the value shows."""
    if is_plain(value):
        return ()
    texts = _texts(value)
    found = [pattern for pattern, shows in _TESTS if any(map(shows, texts))]
    if found and is_program(value):
        around = [text for edge in edges(value) for text in _texts(edge)]
        found = [pattern for pattern in found if any(map(_TEST[pattern], around)) or _is_hostile_page(pattern, texts)]
    return tuple(found)


def _texts(value: str) -> list[str]:
    return [text.lower() for window in windows(value) for text in readings(window)]


def _is_hostile_page(pattern: Pattern, texts: list[str]) -> bool:
    """Script is normal in a program. Markup that runs by itself is not normal in a page."""
    return pattern is Pattern.XSS and any(map(xss.is_hostile_markup, texts))


def _by_shape(request: Inspected) -> Iterator[Anomaly]:
    if request_shape.is_oversized(request.octets):
        yield Anomaly(Pattern.OVERSIZED_REQUEST, "request")
    if request.needs_user_agent and not request.headers.get("user-agent", "").strip():
        yield Anomaly(Pattern.MISSING_USER_AGENT, "header.user-agent")
    if not request.is_trusted:
        for name in request_shape.suspicious_headers(request.headers):
            yield Anomaly(Pattern.SUSPICIOUS_HEADERS, f"header.{name}")


def _by_value(request: Inspected) -> Iterator[Anomaly]:
    left = MAX_INSPECTED_BYTES
    for place, value in notable(request):
        if len(value) > left:
            value = value[: left // 2] + value[len(value) - left // 2 :]
        for pattern in patterns(value):
            yield Anomaly(pattern, place)
        left -= max(len(value), _MIN_VALUE_COST)
        if left <= 0:
            return
