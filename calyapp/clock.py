"""Time, and identifiers that contain it. All times are UTC."""

import os
from datetime import UTC, datetime
from uuid import UUID


def now() -> datetime:
    """Returns the current time, aware, in UTC."""
    return datetime.now(UTC)


def milliseconds(moment: datetime) -> int:
    """Returns whole milliseconds since the Unix epoch."""
    return int(moment.timestamp() * 1000)


def iso(moment: datetime) -> str:
    """Returns ISO 8601 with milliseconds and `Z`, the format of the API."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def uuid7(moment: datetime) -> UUID:
    """Returns a UUIDv7 (RFC 9562, section 5.7): sorted by `moment` to the millisecond, random below it.

    Implemented here, because Python has it only since 3.14 and PostgreSQL since 18.
    """
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds(moment) & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return UUID(int=value)
