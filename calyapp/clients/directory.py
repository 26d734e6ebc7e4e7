"""The directory: the numbers and keys of all clients, in memory, so that a delivery needs no query for them.

It is refreshed as a whole every few seconds. An unknown number or client is looked up in the database before it is
refused, at most once a second each, so that a new client works at once.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from calyapp import metrics
from calyapp.clients.directory_copy import DirectoryCopy
from calyapp.clients.keys import Claim
from calyapp.clients.store import Client, ClientStore
from calyapp.errors import DatabaseAway, DatabaseError, NotFoundError

CLIENT_DISABLED_MESSAGE = "The client is disabled: `flask caly clients enable CLIENT` accepts its deliveries again."
"""The error message for a delivery to a disabled client."""
REFRESH_SECONDS = 2.0
_STALE_SECONDS = 4.0
_MISS_SECONDS = 1.0
_MAX_MISSES = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    by_id: dict[UUID, Client]
    by_number: dict[str, Client]

    @classmethod
    def of(cls, clients: list[Client]) -> "_Snapshot":
        return cls(
            {client.id: client for client in clients},
            {number: client for client in clients for number in client.numbers},
        )


class Directory:
    """The directory of one process. A background task calls `refresh`, and so does a reader that finds it stale."""

    def __init__(self, store: ClientStore, copy: DirectoryCopy, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._copy = copy
        self._clock = clock
        self._snapshot: _Snapshot | None = None
        self._misses: dict[object, float] = {}
        self._refreshing = threading.Lock()
        self._tried_at = clock()
        self._failed_at = -_MISS_SECONDS

    def refresh(self) -> _Snapshot:
        """Reads all clients from the database, and writes the copy. Raises `DatabaseAway` and keeps the old ones."""
        self._tried_at = self._clock()
        clients = self._store.all()
        self._snapshot = _Snapshot.of(clients)
        metrics.DIRECTORY_REFRESHED.set_to_current_time()
        self._copy.write(clients)
        return self._snapshot

    def authenticate(self, claim: Claim) -> Client | None:
        """Returns the client of a verified key. None if it is unknown or disabled, or if the key was retired."""
        client = self.client(claim.client_id)
        if client and claim.version > client.key_version:
            # The key was rotated after the last refresh.
            return self._look_up(claim, lambda: _valid(claim, self._find(claim.client_id)))
        return _valid(claim, client)

    def client(self, client_id: UUID) -> Client | None:
        """Returns the enabled client with this id, or None."""
        return _enabled(self._by_id(client_id))

    def owner(self, number: str) -> Client | None:
        """Returns the enabled client that owns the number (E.164), or None."""
        return _enabled(self._by_number(number))

    def is_disabled(self, client: UUID | str) -> bool:
        """Whether the client with this id, or with this number (E.164), exists and is disabled."""
        stored = self._by_id(client) if isinstance(client, UUID) else self._by_number(client)
        return stored is not None and stored.disabled_at is not None

    def _by_id(self, client_id: UUID) -> Client | None:
        client = self._current().by_id.get(client_id)
        return client or self._look_up(client_id, lambda: self._find(client_id))

    def _by_number(self, number: str) -> Client | None:
        client = self._current().by_number.get(number)
        return client or self._look_up(number, lambda: self._store.owner(number))

    def _current(self) -> _Snapshot:
        if self._snapshot is None:
            return self._first_snapshot()
        if self._clock() - self._tried_at > _STALE_SECONDS and self._refreshing.acquire(blocking=False):
            # One reader refreshes. The others continue with the stale snapshot, so that none waits for the database.
            try:
                self.refresh()
            except DatabaseError:
                _log.warning("the directory of clients could not be refreshed")
            finally:
                self._refreshing.release()
        return self._snapshot

    def _first_snapshot(self) -> _Snapshot:
        with self._refreshing:
            if self._snapshot:
                return self._snapshot
            if self._clock() - self._failed_at < _MISS_SECONDS:
                # Another thread has just failed. Without this the threads waiting for the lock would time out in turn.
                raise DatabaseAway
            try:
                return self.refresh()
            except DatabaseError:
                self._failed_at = self._clock()
                if (copied := self._copy.read()) is None:
                    raise
                _log.warning("started without the database, on the directory's copy on disk")
                self._snapshot = _Snapshot.of(copied)
                return self._snapshot

    def _find(self, client_id: UUID) -> Client | None:
        try:
            return self._store.get(client_id)
        except NotFoundError:
            return None

    def _look_up(self, key: object, find: Callable[[], Client | None]) -> Client | None:
        """Returns what `find` reads from the database, or None within a second after it found nothing for this key.

        This keeps requests with unknown numbers or keys from causing a query each.
        """
        now = self._clock()
        if now - self._misses.get(key, -_MISS_SECONDS) < _MISS_SECONDS:
            return None
        if len(self._misses) >= _MAX_MISSES:
            self._misses.clear()
        client = find()
        if client is None:
            self._misses[key] = now
        return client


def _enabled(client: Client | None) -> Client | None:
    return client if client and client.disabled_at is None else None


def _valid(claim: Claim, client: Client | None) -> Client | None:
    enabled = _enabled(client)
    return enabled if enabled and enabled.oldest_key_version <= claim.version <= enabled.key_version else None
