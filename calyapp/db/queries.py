"""Measures statements: logs slow ones, and counts those of a request for its log line.

Logs and metrics know a statement by its name (`execution_options={"name": …}`), never by its text and parameters.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, TextClause, event, text

from calyapp import metrics

SLOW_MS = 500
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """The number of statements that ran, and their total duration in milliseconds."""

    count: int = 0
    milliseconds: float = 0.0


_tally: ContextVar[Tally | None] = ContextVar("query_tally", default=None)


@contextmanager
def tallied() -> Iterator[Tally]:
    """Counts the statements that run in the block, on this thread."""
    tally = Tally()
    token = _tally.set(tally)
    try:
        yield tally
    finally:
        _tally.reset(token)


def named(name: str, sql: str) -> TextClause:
    """Returns a statement with the name that logs and metrics use."""
    return text(sql).execution_options(name=name)


def observe(engine: Engine) -> None:
    """Measures every statement of the engine, including those that fail."""

    @event.listens_for(engine, "before_cursor_execute")
    def begin(_connection: Any, _cursor: Any, _sql: str, _parameters: Any, context: Any, _many: bool) -> None:
        context._began = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def end(_connection: Any, _cursor: Any, _sql: str, _parameters: Any, context: Any, _many: bool) -> None:
        _measure(context)

    @event.listens_for(engine, "handle_error")
    def failed(failure: Any) -> None:
        if failure.execution_context is not None:
            _measure(failure.execution_context)


def _measure(context: Any) -> None:
    began, context._began = context._began, None
    if began is None:
        return  # already measured when it ended: reading its rows failed
    milliseconds = (time.perf_counter() - began) * 1000
    if tally := _tally.get():
        tally.count += 1
        tally.milliseconds += milliseconds
    name = context.execution_options.get("name", "unnamed")
    metrics.DB_STATEMENT_SECONDS.labels(name).observe(milliseconds / 1000)
    if milliseconds > SLOW_MS:
        metrics.DB_SLOW_STATEMENTS.labels(name).inc()
        fields = {"statement": name, "durationMs": round(milliseconds, 1)}
        _log.warning("slow statement %s", name, extra={"fields": fields})
