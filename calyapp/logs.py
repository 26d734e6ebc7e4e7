"""Log lines on stderr, with the fields of the request and without numbers and keys: JSON, or short text for a terminal.

Log as `logger.info("…", extra={"fields": {"status": 200}})`. Only the fields listed here are written, so that no
payload is logged by accident. This module does not know what is logged, and never raises.
"""

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import orjson

from calyapp import clock, redact

LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}

# Caly generates these identifiers, and people search by them. Their digits are not masked.
IDENTIFIERS = frozenset({"requestId", "clientId", "callId"})

FIELDS = IDENTIFIERS | {
    *("method", "route", "path", "status", "durationMs", "bytes", "queries", "queryMs", "memoryGrowthKb", "slow"),
    *("statement", "check", "task", "event", "severity", "code", "count", "reason", "error"),
    *("pattern", "place"),
}

# Libraries whose error messages repeat statements and values, which must not be logged.
_QUOTING = frozenset({"psycopg2", "sqlalchemy", "marshmallow"})

_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})
_bound: ContextVar[Mapping[str, Any]] = ContextVar("fields of the request", default=_NO_FIELDS)


def configure(level: str, *, for_people: bool = False) -> None:
    """Writes lines of at least this level (error, warn, info, debug), of all loggers. Can be called again.

    `for_people` writes short lines for a terminal instead of JSON, with colours unless NO_COLOR is set.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, StderrHandler):
            root.removeHandler(handler)
    handler = StderrHandler()
    handler.setFormatter(TerminalFormatter() if for_people else JsonFormatter())
    root.addHandler(handler)
    root.setLevel(LEVELS[level])


def bind(**fields: Any) -> None:
    """Adds these fields to every line of this context until `unbind`."""
    _bound.set({**_bound.get(), **fields})


def unbind() -> None:
    """Removes the bound fields. Call it between requests, because a thread serves many."""
    _bound.set(_NO_FIELDS)


class StderrHandler(logging.Handler):
    """Writes each line at once, so that lines of several workers do not mix."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line. If stderr is closed, the line is dropped."""
        try:
            sys.stderr.write(self.format(record) + "\n")
        except (OSError, ValueError):
            return


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, or a line that reports that the record could not be formatted."""
        try:
            return orjson.dumps(dict(_members(record))).decode()
        except Exception as failure:
            return orjson.dumps(_lost(record, failure)).decode()


class TerminalFormatter(logging.Formatter):
    """Formats a record as one short line for a person, followed by the traceback of an exception.

    For a request: status, method, path, duration, and the reason of a refusal. Else: level, message, fields.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, or a line that reports that the record could not be formatted."""
        try:
            return self._line(record.created, dict(_members(record)))
        except Exception as failure:
            return self._line(record.created, _lost(record, failure))

    def _line(self, created: float, members: Mapping[str, Any]) -> str:
        time = datetime.fromtimestamp(created).astimezone().strftime("%H:%M:%S")
        line = _request(members) if members.keys() >= _REQUEST else _event(members)
        below = f"\n{members['exception']['traceback']}" if "exception" in members else ""
        return f"{time} {self._coloured(_printable(line), members)}" + _printable(below, allowed="\n")

    def _coloured(self, line: str, members: Mapping[str, Any]) -> str:
        status = members.get("status")
        colour = _COLOURS.get(members["level"]) or (_GREEN if isinstance(status, int) and status < 300 else "")
        return f"\x1b[{colour}m{line}\x1b[0m" if colour and self._is_coloured else line


_GREEN = "32"
_COLOURS = {"critical": "1;31", "error": "31", "warn": "33", "debug": "2"}
_REQUEST = frozenset({"method", "status", "durationMs"})
_IN_THE_LINE = frozenset({"time", "level", "logger", "message", "exception", "requestId"})


def _request(members: Mapping[str, Any]) -> str:
    address = members.get("path") or members.get("route")
    line = f"{members['status']} {members['method']} {address} {members['durationMs']:.0f} ms"
    slow = " (slow)" if members.get("slow") else ""
    reason = f": {members['reason']}" if members.get("reason") else ""
    return line + slow + reason


def _event(members: Mapping[str, Any]) -> str:
    fields = " ".join(f"{name}={value}" for name, value in members.items() if _is_worth_showing(name, value))
    return f"{members['level'].upper()} {members['message']}" + (f" ({fields})" if fields else "")


def _is_worth_showing(name: str, value: Any) -> bool:
    return name not in _IN_THE_LINE and value is not None


def _printable(text: str, allowed: str = "") -> str:
    """Returns the text with control characters escaped: a terminal would interpret those from a request."""
    return "".join(c if c.isprintable() or c in allowed else ascii(c)[1:-1] for c in text)


def _members(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    yield from _head(record).items()
    yield "message", _text(record.getMessage())
    for name, value in {**_bound.get(), **getattr(record, "fields", _NO_FIELDS)}.items():
        if name in FIELDS:
            yield name, _value(name, value)
    if record.exc_info and record.exc_info[0]:
        yield "exception", _exception(record.exc_info)


def _lost(record: logging.LogRecord, failure: Exception) -> dict[str, Any]:
    where = f"{record.module}:{record.lineno}"
    message = f"the line of {where} could not be written"
    return _head(record) | {"message": message, "error": type(failure).__name__}


def _head(record: logging.LogRecord) -> dict[str, str]:
    level = "warn" if record.levelno == logging.WARNING else record.levelname.lower()
    return {
        "time": clock.iso(datetime.fromtimestamp(record.created, UTC)),
        "level": level,
        "logger": record.name,
    }


def _value(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value) if name in IDENTIFIERS else _text(value)


def _text(value: Any) -> str:
    # A lone surrogate, as from bytes that are not UTF-8, is valid in Python but not in JSON.
    return redact.text(str(value).encode("utf-8", "replace").decode())


def _exception(raised: Any) -> dict[str, str]:
    kind = raised[0]
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        "traceback": story(raised[1]),
    }


def story(error: BaseException) -> str:
    """Returns the traceback of the error and its causes, the first cause first, without numbers and keys."""
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        parts.append("".join(traceback.format_tb(link.__traceback__)) + _last_line(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return _text("\nwhich led to:\n".join(reversed(parts)))


def _last_line(error: BaseException) -> str:
    if type(error).__module__.partition(".")[0] in _QUOTING:
        return f"{type(error).__name__} (message left out, because it quotes what was sent)"
    return "".join(traceback.format_exception_only(error)).rstrip()
