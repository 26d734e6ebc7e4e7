"""The SQL of clients' accounts at Exotel. Their credentials are sealed here, and leave only as `Secret`.

Every change is audited in its own transaction, without the credentials.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection

from calyapp import clock
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.db.engine import Pool
from calyapp.db.queries import named
from calyapp.encryption import KEY_ID_BYTES, Census, Encryption, UnreadableSecretError
from calyapp.errors import ConflictError, NotFoundError
from calyapp.setting_kinds import Secret

_BATCH = 100


@dataclass(frozen=True, slots=True)
class ExotelAccount:
    """Where and as whom Exotel's API is asked about a client's calls (section 10)."""

    account_sid: str
    host: str
    api_key: Secret[str]
    api_token: Secret[str]


class ExotelAccountStore:
    """Reads and changes them."""

    def __init__(self, pool: Pool, encryption: Encryption) -> None:
        self._pool = pool
        self._encryption = encryption

    def connect(self, client_id: UUID, account: ExotelAccount) -> None:
        """Keep the client's account, in place of an earlier one. Raises `NotFoundError` for an unknown client."""
        given = {"client_id": client_id, "account_sid": account.account_sid, "host": account.host}
        with self._pool.transaction() as connection:
            _demand_client(connection, client_id)
            sealed = {"credentials": self._seal(client_id, account), "now": clock.now()}
            connection.execute(_CONNECT, given | sealed)
            _audit(connection, EventType.INTEGRATION_CONNECTED, client_id, account.account_sid, account.host)

    def disconnect(self, client_id: UUID) -> None:
        """Forget the client's account. Raises `NotFoundError` if it has none."""
        with self._pool.transaction() as connection:
            _demand_client(connection, client_id)
            row = connection.execute(_DISCONNECT, {"client_id": client_id}).one_or_none()
            if row is None:
                raise NotFoundError("This client is not connected to Exotel")
            _audit(connection, EventType.INTEGRATION_DISCONNECTED, client_id, row.account_sid, row.host)

    def account_sid(self, client_id: UUID) -> str | None:
        """Which account it is connected to; needs no key."""
        with self._pool.connection() as connection:
            found: str | None = connection.scalar(_ACCOUNT_SID, {"client_id": client_id})
            return found

    def get(self, client_id: UUID) -> ExotelAccount:
        """Raises `NotFoundError`, or `ConflictError` where no key that is set opens the credentials."""
        with self._pool.connection() as connection:
            row = connection.execute(_ONE, {"client_id": client_id}).one_or_none()
        if row is None:
            raise NotFoundError("This client is not connected to Exotel")
        return self._opened(row)

    def census(self) -> Census:
        """What lies under which key, told by the ids of the keys."""
        with self._pool.connection() as connection:
            counts = {bytes(row.key_id): row.sealed for row in connection.execute(_CENSUS)}
        current = counts.get(self._encryption.key_id, 0)
        readable = sum(counts.get(key_id, 0) for key_id in self._encryption.readable)
        return Census(sum(counts.values()), readable - current, sum(counts.values()) - readable)

    def reencrypt(self) -> Iterator[tuple[UUID, bool]]:
        """Bring all that is not under the key in use under it; yields each client, and whether it could be done.

        May be broken off and begun again at any time, and run beside readers: whoever has both keys reads either.
        """
        after = UUID(int=0)
        while done := self._reencrypt_batch(after):
            yield from done
            after, _ = done[-1]

    def _reencrypt_batch(self, after: UUID) -> list[tuple[UUID, bool]]:
        with self._pool.transaction() as connection:
            given = {"current": self._encryption.key_id, "after": after, "most": _BATCH}
            rows = connection.execute(_OUTDATED, given).all()
            done = [(row.client_id, self._reseal(connection, row)) for row in rows]
            if done:
                _audit_batch(connection, sum(is_done for _, is_done in done), len(done))
            return done

    def _reseal(self, connection: Connection, row: Any) -> bool:
        try:
            account = self._opened(row)
        except ConflictError:
            return False
        given = {"client_id": row.client_id, "credentials": self._seal(row.client_id, account)}
        connection.execute(_RESEAL, given)
        return True

    def _seal(self, client_id: UUID, account: ExotelAccount) -> bytes:
        plain = {"apiKey": account.api_key.reveal(), "apiToken": account.api_token.reveal()}
        return self._encryption.seal(orjson.dumps(plain), client_id.bytes)

    def _opened(self, row: Any) -> ExotelAccount:
        try:
            plain = orjson.loads(self._encryption.open(bytes(row.credentials), row.client_id.bytes))
        except UnreadableSecretError:
            raise ConflictError(
                f"The credentials of client {row.client_id} are under another key: "
                "set ENCRYPTION_KEY_PREVIOUS to the key before, or connect the client anew"
            ) from None
        return ExotelAccount(row.account_sid, row.host, Secret(plain["apiKey"]), Secret(plain["apiToken"]))


def _demand_client(connection: Connection, client_id: UUID) -> None:
    if connection.execute(_LOCK_CLIENT, {"client_id": client_id}).one_or_none() is None:
        raise NotFoundError("There is no client with this id")


def _audit_batch(connection: Connection, done: int, found: int) -> None:
    metadata = {"via": "command line", "reencrypted": done, "unreadable": found - done}
    entry = Entry.now(EventType.ENCRYPTION_KEY_ROTATED, "Secrets at rest encrypted anew", metadata=metadata)
    audit_log.append(connection, entry)


def _audit(connection: Connection, event: EventType, client_id: UUID, account_sid: str, host: str) -> None:
    connected = event is EventType.INTEGRATION_CONNECTED
    entry = Entry.now(
        event,
        "Exotel account connected" if connected else "Exotel account disconnected",
        client_id=client_id,
        resource="client",
        resource_id=str(client_id),
        changes={"after" if connected else "before": {"accountSid": account_sid, "host": host, "credentials": "***"}},
        metadata={"via": "command line"},
    )
    audit_log.append(connection, entry)


_SELECT = "SELECT client_id, account_sid, host, credentials FROM exotel_accounts"

_LOCK_CLIENT = named("lock_client", "SELECT id FROM clients WHERE id = :client_id FOR UPDATE")
_ONE = named("read_exotel_account", f"{_SELECT} WHERE client_id = :client_id")
_ACCOUNT_SID = named("read_account_sid", "SELECT account_sid FROM exotel_accounts WHERE client_id = :client_id")
_CONNECT = named(
    "connect_exotel",
    "INSERT INTO exotel_accounts (client_id, account_sid, host, credentials, created_at, updated_at) "
    "VALUES (:client_id, :account_sid, :host, :credentials, :now, :now) ON CONFLICT (client_id) DO UPDATE "
    "SET account_sid = excluded.account_sid, host = excluded.host, credentials = excluded.credentials, "
    "updated_at = excluded.updated_at",
)
_DISCONNECT = named(
    "disconnect_exotel", "DELETE FROM exotel_accounts WHERE client_id = :client_id RETURNING account_sid, host"
)
_KEY_ID = f"substring(credentials FROM 1 FOR {KEY_ID_BYTES})"
_CENSUS = named(
    "count_secrets",
    f"SELECT {_KEY_ID} AS key_id, count(*) AS sealed FROM exotel_accounts GROUP BY 1",  # noqa: S608 — a constant
)
_OUTDATED = named(
    "find_outdated_secrets",
    f"{_SELECT} WHERE client_id > :after AND {_KEY_ID} <> :current ORDER BY client_id LIMIT :most FOR UPDATE",
)
_RESEAL = named("reseal_secret", "UPDATE exotel_accounts SET credentials = :credentials WHERE client_id = :client_id")
