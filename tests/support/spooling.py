"""Fills and empties a journal."""

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from calyapp.spool.journal import Journal, Lane, SpoolError

ARRIVED = datetime(2025, 3, 1, 12, tzinfo=UTC)
CLIENTS = [None, UUID(int=1), UUID(int=2)]


def append(journal: Journal, content: bytes, client: UUID | None = None, lane: Lane = Lane.AWAY) -> None:
    journal.append(content, client_id=client, lane=lane, arrived_at=ARRIVED)


def contents(journal: Journal, lane: Lane = Lane.AWAY) -> list[bytes]:
    return [frame.content for frame in journal.ready(lane, 10**6)]


def fill(journal: Journal, lane: Lane = Lane.AWAY, size: int = 50_000, client: UUID | None = CLIENTS[1]) -> int:
    """Appends frames until one is refused. Returns the number accepted."""
    accepted = 0
    with suppress(SpoolError):
        while True:
            append(journal, b"x" * size, client, lane=lane)
            accepted += 1
    return accepted


def drain(journal: Journal) -> int:
    """Removes all ready frames of the lane AWAY. Returns their number."""
    drained = 0
    while frames := journal.ready(Lane.AWAY, 100):
        journal.remove_replayed([frame.id for frame in frames])
        drained += len(frames)
    return drained
