"""Stores the accounts of clients at Exotel. Credentials are encrypted here, and leave this module only as `Secret`.

Every change writes an audit entry in its own transaction, without the credentials.
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
    """The host and the credentials for Exotel's REST API: docs/exotel-protocol.md, section 10.1."""

    account_sid: str
    host: str
    api_key: Secret[str]
    api_token: Secret[str]


class ExotelAccountStore:
    """Reads and changes accounts at Exotel."""

    def __init__(self, pool: Pool, encryption: Encryption) -> None:
        self._pool = pool
        self._encryption = encryption

    def connect(self, client_id: UUID, account: ExotelAccount) -> None:
        """Stores the client's account, and replaces an earlier one. Raises `NotFoundError` for an unknown client."""
        with self._pool.transaction() as connection:
            _lock_client(connection, client_id)
            parameters = {
                "client_id": client_id,
                "account_sid": account.account_sid,
                "host": account.host,
                "credentials": self._seal(client_id, account),
                "now": clock.now(),
            }
            connection.execute(_CONNECT, parameters)
            _audit(connection, EventType.INTEGRATION_CONNECTED, client_id, account.account_sid, account.host)

    def disconnect(self, client_id: UUID) -> None:
        """Deletes the client's account. Raises `NotFoundError` if it has none, or for an unknown client."""
        with self._pool.transaction() as connection:
            _lock_client(connection, client_id)
            row = connection.execute(_DISCONNECT, {"client_id": client_id}).one_or_none()
            if row is None:
                raise NotFoundError("This client is not connected to Exotel")
            _audit(connection, EventType.INTEGRATION_DISCONNECTED, client_id, row.account_sid, row.host)

    def account_sid(self, client_id: UUID) -> str | None:
        """Returns the SID of the client's account, or None. Needs no encryption key."""
        with self._pool.connection() as connection:
            account_sid: str | None = connection.scalar(_ACCOUNT_SID, {"client_id": client_id})
            return account_sid

    def get(self, client_id: UUID) -> ExotelAccount:
        """Returns the account. Raises `NotFoundError`, or `ConflictError` if no configured key decrypts it."""
        with self._pool.connection() as connection:
            row = connection.execute(_ONE, {"client_id": client_id}).one_or_none()
        if row is None:
            raise NotFoundError("This client is not connected to Exotel")
        return self._open(row)

    def census(self) -> Census:
        """Counts the stored credentials by encryption key. Decrypts nothing: each begins with the id of its key."""
        with self._pool.connection() as connection:
            counts = {bytes(row.key_id): row.sealed for row in connection.execute(_CENSUS)}
        current = counts.get(self._encryption.key_id, 0)
        readable = sum(counts.get(key_id, 0) for key_id in self._encryption.readable)
        return Census(sum(counts.values()), readable - current, sum(counts.values()) - readable)

    def reencrypt(self) -> Iterator[tuple[UUID, bool]]:
        """Encrypts all credentials with the current key that are not yet. Yields each client, and whether it succeeded.

        It can be interrupted and repeated at any time. Readers that have both keys are not affected.
        """
        after = UUID(int=0)
        while done := self._reencrypt_batch(after):
            yield from done
            after, _ = done[-1]

    def _reencrypt_batch(self, after: UUID) -> list[tuple[UUID, bool]]:
        with self._pool.transaction() as connection:
            parameters = {"current": self._encryption.key_id, "after": after, "limit": _BATCH}
            rows = connection.execute(_OUTDATED, parameters).all()
            done = [(row.client_id, self._reseal(connection, row)) for row in rows]
            if done:
                _audit_batch(connection, sum(is_done for _, is_done in done), len(done))
            return done

    def _reseal(self, connection: Connection, row: Any) -> bool:
        try:
            account = self._open(row)
        except ConflictError:
            return False
        parameters = {"client_id": row.client_id, "credentials": self._seal(row.client_id, account)}
        connection.execute(_RESEAL, parameters)
        return True

    def _seal(self, client_id: UUID, account: ExotelAccount) -> bytes:
        plain = {"apiKey": account.api_key.reveal(), "apiToken": account.api_token.reveal()}
        return self._encryption.seal(orjson.dumps(plain), client_id.bytes)

    def _open(self, row: Any) -> ExotelAccount:
        try:
            plain = orjson.loads(self._encryption.open(bytes(row.credentials), row.client_id.bytes))
        except UnreadableSecretError:
            raise ConflictError(
                f"The credentials of client {row.client_id} are encrypted with another key: "
                "set ENCRYPTION_KEY_PREVIOUS to the previous key, or connect the client again"
            ) from None
        return ExotelAccount(row.account_sid, row.host, Secret(plain["apiKey"]), Secret(plain["apiToken"]))


def _lock_client(connection: Connection, client_id: UUID) -> None:
    if connection.execute(_LOCK_CLIENT, {"client_id": client_id}).one_or_none() is None:
        raise NotFoundError("There is no client with this id")


def _audit_batch(connection: Connection, done: int, total: int) -> None:
    metadata = {"via": "command line", "reencrypted": done, "unreadable": total - done}
    entry = Entry.now(EventType.ENCRYPTION_KEY_ROTATED, "Secrets encrypted with the current key", metadata=metadata)
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
    f"{_SELECT} WHERE client_id > :after AND {_KEY_ID} <> :current ORDER BY client_id LIMIT :limit FOR UPDATE",
)
_RESEAL = named("reseal_secret", "UPDATE exotel_accounts SET credentials = :credentials WHERE client_id = :client_id")
