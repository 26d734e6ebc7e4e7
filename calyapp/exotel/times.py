"""Exotel's moments and durations → ours. A text that makes no sense is None, never an error.

A time without an offset is Indian, wherever the servers stand (protocol section 2).
"""

import re
from datetime import UTC, datetime, timedelta, timezone

MAX_DURATION_SECONDS = 86_400
MAX_AGE = timedelta(days=7)
MAX_AGE_IN_CDR = timedelta(days=3653)  # ten years: late enough to leave placeholders out
MAX_AHEAD = timedelta(days=1)

_IST = timezone(timedelta(hours=5, minutes=30))
_IN_WORDS = "%a, %d %b %Y %H:%M:%S"  # Tue, 25 Aug 2026 12:07:08
_MAX_TEXT_LENGTH = 40


def instant(text: str, arrival: datetime, earliest: timedelta = MAX_AGE) -> datetime | None:
    """The moment in UTC, if it lies at most so long before, 7 days by default, and 1 day after the arrival.

    The placeholders for "not yet" (the epoch, the years 0 and 1) lie outside, whatever their offset.
    """
    moment = _read(text.strip())
    if moment is None or not arrival - earliest <= moment <= arrival + MAX_AHEAD:
        return None
    return moment.astimezone(UTC)


def seconds(text: str) -> int | None:
    """A whole number of seconds, 0 to 86 400."""
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,5}", text):
        return None
    number = int(text)
    return number if number <= MAX_DURATION_SECONDS else None


def _read(text: str) -> datetime | None:
    # A date alone would be read as midnight, which is no moment of a call.
    if ":" not in text or len(text) > _MAX_TEXT_LENGTH:
        return None
    try:
        moment = datetime.strptime(text, _IN_WORDS) if "," in text else datetime.fromisoformat(text)  # noqa: DTZ007 — below
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=_IST)
