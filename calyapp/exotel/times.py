"""Reads Exotel's times and durations. A text that makes no sense is None, never an error.

A time without an offset is Indian time, wherever the servers are: docs/exotel-protocol.md, section 2.3.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

MAX_DURATION_SECONDS = 86_400
MAX_AGE = timedelta(days=7)
MAX_AGE_IN_CDR = timedelta(days=3653)  # ten years, which still excludes the placeholders
MAX_AHEAD = timedelta(days=1)

_IST = timezone(timedelta(hours=5, minutes=30))
_WITH_WEEKDAY = "%a, %d %b %Y %H:%M:%S"  # Tue, 25 Aug 2026 12:07:08
_MAX_TEXT_LENGTH = 40


def instant(text: str, arrival: datetime, max_age: timedelta = MAX_AGE) -> datetime | None:
    """Returns the time in UTC if it lies between `max_age` before and one day after the arrival, else None.

    This excludes the placeholders for "not yet" (the epoch, the years 0 and 1), whatever their offset.
    """
    moment = _read(text.strip())
    if moment is None or not arrival - max_age <= moment <= arrival + MAX_AHEAD:
        return None
    return moment.astimezone(UTC)


def seconds(text: str) -> int | None:
    """Returns a whole number of seconds from 0 to 86 400, else None."""
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,5}", text):
        return None
    number = int(text)
    return number if number <= MAX_DURATION_SECONDS else None


def _read(text: str) -> datetime | None:
    # `fromisoformat` reads a date alone as midnight, which would be a wrong time for a call.
    if ":" not in text or len(text) > _MAX_TEXT_LENGTH:
        return None
    try:
        moment = datetime.strptime(text, _WITH_WEEKDAY) if "," in text else datetime.fromisoformat(text)  # noqa: DTZ007 — the zone is added below
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=_IST)
