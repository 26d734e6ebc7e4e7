"""Log lines: one JSON object each on stderr, with the fields of the request, and no number or key in clear.

Written as `logger.info("…", extra={"fields": {"status": 200}})`. Only the fields named here come through, so
that nobody logs a payload by accident. Knows nothing of what is logged, and never raises.
"""

import logging
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

# Made by us and full of digits: they are what a line is found by, so nothing in them is masked.
IDENTIFIERS = frozenset({"requestId", "clientId", "callId"})

FIELDS = IDENTIFIERS | {
    *("method", "route", "path", "status", "durationMs", "bytes", "queries", "queryMs", "memoryGrowthKb", "slow"),
    *("statement", "check", "task", "event", "severity", "code", "count", "reason", "error"),
    *("pattern", "place"),
}

# Libraries whose errors repeat statements and values: what a caller said must not end up in a log that way.
_QUOTING = frozenset({"psycopg2", "sqlalchemy", "marshmallow"})

_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})
_bound: ContextVar[Mapping[str, Any]] = ContextVar("fields of the request", default=_NO_FIELDS)


def configure(level: str) -> None:
    """Write what is at least of this level (error, warn, info, debug), from every logger, once."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, StderrHandler):
            root.removeHandler(handler)
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel(LEVELS[level])


def bind(**fields: Any) -> None:
    """Give these fields to every line from now on, until `unbind`."""
    _bound.set({**_bound.get(), **fields})


def unbind() -> None:
    """Forget the bound fields. A thread serves one request after another: call it between them."""
    _bound.set(_NO_FIELDS)


class StderrHandler(logging.Handler):
    """Writes each line in one piece, so that those of several workers do not mix."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; if stderr is gone there is nobody left to tell."""
        try:
            sys.stderr.write(self.format(record) + "\n")
        except (OSError, ValueError):
            return


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; for a record that cannot be told, one that says so."""
        try:
            return orjson.dumps(dict(_members(record))).decode()
        except Exception as failure:
            where = f"{record.module}:{record.lineno}"
            lost = {"message": f"the line of {where} could not be written", "error": type(failure).__name__}
            return orjson.dumps(_head(record) | lost).decode()


def _members(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    yield from _head(record).items()
    yield "message", _text(record.getMessage())
    for name, value in {**_bound.get(), **getattr(record, "fields", _NO_FIELDS)}.items():
        if name in FIELDS:
            yield name, _value(name, value)
    if record.exc_info and record.exc_info[0]:
        yield "exception", _exception(record.exc_info)


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
    # Half a surrogate pair, as in bytes that were no UTF-8, is text in Python but not in JSON.
    return redact.text(str(value).encode("utf-8", "replace").decode())


def _exception(raised: Any) -> dict[str, str]:
    kind = raised[0]
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        "traceback": story(raised[1]),
    }


def story(error: BaseException) -> str:
    """Where the error and those behind it came from, the first one first, without numbers and keys."""
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        parts.append("".join(traceback.format_tb(link.__traceback__)) + _last_line(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return _text("\nwhich led to:\n".join(reversed(parts)))


def _last_line(error: BaseException) -> str:
    if type(error).__module__.partition(".")[0] in _QUOTING:
        return f"{type(error).__name__} (its message quotes what was sent, and is left out)"
    return "".join(traceback.format_exception_only(error)).rstrip()
