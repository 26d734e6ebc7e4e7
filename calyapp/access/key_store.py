"""The SQL of API keys. Each change writes an audit entry in the same transaction."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from calyapp import clock
from calyapp.access import tokens
from calyapp.access.principal import COMMAND_LINE, Principal, PrincipalKind, Role, check_scope
from calyapp.access.tokens import TokenKind
from calyapp.access.user_store import CLIENT_IS_NOT_DISABLED
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.db.engine import Pool
from calyapp.db.queries import named
from calyapp.errors import ConflictError, DatabaseAway, NotFoundError

USE_RECORDED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key without its secret. `prefix` holds the first characters of its text. Use is recorded once a minute."""

    id: UUID
    name: str
    prefix: str
    role: Role
    client_id: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class ApiKeyStore:
    """Reads and changes API keys."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def all(self) -> list[ApiKey]:
        """Returns all keys, including revoked ones, newest first."""
        with self._pool.connection() as connection:
            return [_key(row) for row in connection.execute(_ALL)]

    def create(
        self, name: str, role: Role, client_id: UUID | None = None, expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """Creates a key. Returns it and its text, which cannot be read again.

        Raises `ValidationError` if the role and the client do not match. The caller checks that the client exists.
        """
        check_scope(role, client_id)
        key_id, token = uuid4(), tokens.mint(TokenKind.API_KEY)
        parameters = {"id": key_id, "name": name, "key_hash": tokens.digest(token), "prefix": tokens.shown(token)}
        parameters |= {"role": role.value, "client_id": client_id, "now": clock.now(), "expires_at": expires_at}
        with self._pool.transaction() as connection:
            connection.execute(_ADD, parameters)
            key = _get(connection, key_id)
            _audit(connection, EventType.API_KEY_GENERATED, "API key created", key, after=_audited(key))
            return key, token

    def revoke(self, key_id: UUID) -> ApiKey:
        """Revokes a key, at once for all workers. Raises `NotFoundError`, `ConflictError`."""
        with self._pool.transaction() as connection:
            before = _get(connection, key_id, lock=True)
            if before.revoked_at:
                raise ConflictError(f"The key {before.name!r} is already revoked")
            connection.execute(_REVOKE, {"id": key_id, "now": clock.now()})
            key = _get(connection, key_id)
            changes = {"before": _audited(before), "after": _audited(key)}
            _audit(connection, EventType.API_KEY_REVOKED, "API key revoked", key, **changes)
            return key

    def find(self, token: str) -> Principal | None:
        """Returns the principal of a key, or None if it is revoked or expired or its client is disabled."""
        now = clock.now()
        with self._pool.connection() as connection:
            row = connection.execute(_FIND, {"key_hash": tokens.digest(token), "now": now}).one_or_none()
        if row is None:
            return None
        if row.last_used_at is None or now - row.last_used_at >= USE_RECORDED_EVERY:
            self._record_use(row.id, now)
        return _principal(_key(row))

    def _record_use(self, key_id: UUID, now: datetime) -> None:
        # A standby accepts no writes. Authentication still works there; only the time of use is not recorded.
        with suppress(DatabaseAway), self._pool.transaction() as connection:
            connection.execute(_RECORD_USE, {"id": key_id, "now": now, "before": now - USE_RECORDED_EVERY})


def _get(connection: Connection, key_id: UUID, *, lock: bool = False) -> ApiKey:
    row = connection.execute(_LOCKED if lock else _ONE, {"id": key_id}).one_or_none()
    if row is None:
        raise NotFoundError("No API key has this id")
    return _key(row)


def _audit(connection: Connection, event: EventType, description: str, key: ApiKey, **changes: dict[str, Any]) -> None:
    entry = Entry.now(
        event,
        description,
        client_id=key.client_id,
        resource="api key",
        resource_id=str(key.id),
        changes=changes,
        metadata={"via": COMMAND_LINE.via},
    )
    audit_log.append(connection, entry)


def _audited(key: ApiKey) -> dict[str, Any]:
    """Returns what the audit log keeps of a key."""
    return {
        "name": key.name,
        "prefix": key.prefix,
        "role": key.role.value,
        "clientId": str(key.client_id) if key.client_id else None,
        "expiresAt": clock.iso(key.expires_at) if key.expires_at else None,
        "revokedAt": clock.iso(key.revoked_at) if key.revoked_at else None,
    }


def _key(row: Any) -> ApiKey:
    return ApiKey(**{**row._mapping, "role": Role(row.role)})


def _principal(key: ApiKey) -> Principal:
    return Principal(kind=PrincipalKind.API_KEY, id=key.id, name=key.name, role=key.role, client_id=key.client_id)


_SELECT = "SELECT id, name, prefix, role, client_id, created_at, expires_at, last_used_at, revoked_at FROM api_keys"

_ALL = named("list_api_keys", f"{_SELECT} ORDER BY created_at DESC, id")
_ONE = named("read_api_key", f"{_SELECT} WHERE id = :id")
_LOCKED = named("lock_api_key", f"{_SELECT} WHERE id = :id FOR UPDATE")
_FIND = named(
    "find_api_key",
    f"{_SELECT} WHERE key_hash = :key_hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now) "
    f"AND {CLIENT_IS_NOT_DISABLED}",
)
_ADD = named(
    "add_api_key",
    "INSERT INTO api_keys (id, name, key_hash, prefix, role, client_id, created_at, expires_at) VALUES "
    "(:id, :name, :key_hash, :prefix, :role, CAST(:client_id AS uuid), :now, CAST(:expires_at AS timestamptz))",
)
_REVOKE = named("revoke_api_key", "UPDATE api_keys SET revoked_at = :now WHERE id = :id")
_RECORD_USE = named(
    "note_api_key_use",
    "UPDATE api_keys SET last_used_at = :now WHERE id = :id AND (last_used_at IS NULL OR last_used_at <= :before)",
)
