"""Who owns a number and which keys are valid, from memory: a delivery asks no database for it.

The whole directory is read again every few seconds. A number or client that it does not know is looked up in the
database before it is refused, at most once a second each, so that a client works the moment it is added.
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

DISABLED = "The client is disabled: `flask caly clients enable CLIENT` accepts its deliveries again."
"""What a delivery for such a client is refused with."""
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
    """Answers for one process; `refresh` is called by a timer there, and by a reader who finds it stale."""

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
        """Read all clients. Raises `DatabaseAway`; what was known then stays known."""
        self._tried_at = self._clock()
        clients = self._store.all()
        self._snapshot = _Snapshot.of(clients)
        metrics.DIRECTORY_REFRESHED.set_to_current_time()
        self._copy.write(clients)
        return self._snapshot

    def accepts(self, claim: Claim) -> Client | None:
        """The client that a genuine key names, if it still exists, is enabled and the key's version is valid."""
        client = self.client(claim.client_id)
        if client and claim.version > client.key_version:
            # A version newer than the directory: it was rotated a moment ago.
            return self._look_up(claim, lambda: _valid(claim, self._find(claim.client_id)))
        return _valid(claim, client)

    def client(self, client_id: UUID) -> Client | None:
        """The enabled client with this id."""
        return _enabled(self._by_id(client_id))

    def owner(self, number: str) -> Client | None:
        """The enabled client whose number (E.164) this is."""
        return _enabled(self._by_number(number))

    def is_disabled(self, client: UUID | str) -> bool:
        """Whether the client with this id, or with this number (E.164), exists and is disabled."""
        known = self._by_id(client) if isinstance(client, UUID) else self._by_number(client)
        return known is not None and known.disabled_at is not None

    def _by_id(self, client_id: UUID) -> Client | None:
        known = self._current().by_id.get(client_id)
        return known or self._look_up(client_id, lambda: self._find(client_id))

    def _by_number(self, number: str) -> Client | None:
        known = self._current().by_number.get(number)
        return known or self._look_up(number, lambda: self._store.owner(number))

    def _current(self) -> _Snapshot:
        if self._snapshot is None:
            return self._first()
        if self._clock() - self._tried_at > _STALE_SECONDS and self._refreshing.acquire(blocking=False):
            # One reader pays for the refresh; the others go on with what is known.
            try:
                self.refresh()
            except DatabaseError:
                _log.warning("the directory of clients could not be refreshed")
            finally:
                self._refreshing.release()
        return self._snapshot

    def _first(self) -> _Snapshot:
        with self._refreshing:
            if self._snapshot:
                return self._snapshot
            if self._clock() - self._failed_at < _MISS_SECONDS:
                # Those who waited meanwhile must not try one after the other.
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

    def _look_up(self, what: object, find: Callable[[], Client | None]) -> Client | None:
        """What the database says, asked for each unknown thing once a second at most."""
        now = self._clock()
        if now - self._misses.get(what, -_MISS_SECONDS) < _MISS_SECONDS:
            return None
        if len(self._misses) >= _MAX_MISSES:
            self._misses.clear()
        found = find()
        if found is None:
            self._misses[what] = now
        return found


def _enabled(client: Client | None) -> Client | None:
    return client if client and client.disabled_at is None else None


def _valid(claim: Claim, client: Client | None) -> Client | None:
    enabled = _enabled(client)
    return enabled if enabled and enabled.oldest_key_version <= claim.version <= enabled.key_version else None
