"""Frames for a journal to be tried with."""

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from calyapp.spool.journal import Journal, Lane, SpoolError

ARRIVED = datetime(2025, 3, 1, 12, tzinfo=UTC)
LEAST = 16 << 20
CLIENTS = [None, UUID(int=1), UUID(int=2)]


def append(journal: Journal, content: bytes, client: UUID | None = None, lane: Lane = Lane.AWAY) -> None:
    journal.append(content, client_id=client, lane=lane, arrived_at=ARRIVED)


def contents(journal: Journal, lane: Lane = Lane.AWAY) -> list[bytes]:
    return [frame.content for frame in journal.ready(lane, 10**6)]


def fill(journal: Journal, lane: Lane = Lane.AWAY, size: int = 50_000, client: UUID | None = CLIENTS[1]) -> int:
    """Append until it is refused; returns how many were taken."""
    taken = 0
    with suppress(SpoolError):
        while True:
            append(journal, b"x" * size, client, lane=lane)
            taken += 1
    return taken


def drain(journal: Journal) -> int:
    drained = 0
    while frames := journal.ready(Lane.AWAY, 100):
        journal.remove_replayed([frame.id for frame in frames])
        drained += len(frames)
    return drained
