"""Time, and identifiers that carry it. Everything inside Caly is UTC."""

import os
from datetime import UTC, datetime
from uuid import UUID


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since the Unix epoch."""
    return int(moment.timestamp() * 1000)


def iso(moment: datetime) -> str:
    """ISO 8601 with milliseconds and `Z`, as the outside sees it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def uuid7(moment: datetime) -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): sorts by `moment` to the millisecond, random below it.

    Minted here because the standard library has it only from Python 3.14 on, and PostgreSQL from 18.
    """
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds(moment) & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return UUID(int=value)
