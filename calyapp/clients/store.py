"""Stores clients and their numbers. Every change writes an audit entry in its own transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection

from calyapp import clock, redact
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.db.engine import Pool
from calyapp.db.queries import named
from calyapp.errors import ConflictError, NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A tenant. Its webhook keys of the versions `oldest_key_version` to `key_version` are valid."""

    id: UUID
    name: str
    numbers: tuple[str, ...]
    key_version: int
    oldest_key_version: int
    say_text: str | None
    say_voice: str | None
    say_language: str | None
    disabled_at: datetime | None


class Usage(NamedTuple):
    """The numbers of active users, of valid API keys and of calls of a client."""

    users: int
    api_keys: int
    calls: int


class ClientStore:
    """Reads and changes clients."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def all(self) -> list[Client]:
        """Returns all clients, including disabled ones, by name."""
        with self._pool.connection() as connection:
            return [_client(row) for row in connection.execute(_ALL)]

    def get(self, client_id: UUID) -> Client:
        """Returns the client. Raises `NotFoundError`."""
        with self._pool.connection() as connection:
            return _get(connection, client_id)

    def find(self, name: str, number: str | None) -> Client:
        """Returns the client with this name, else the owner of the number (E.164). Raises `NotFoundError`."""
        parameters = {"name": " ".join(name.split()), "number": number}
        with self._pool.connection() as connection:
            row = connection.execute(_FIND, parameters).first()
        if row is None:
            raise NotFoundError(
                f"There is no client with the id, name or number {name!r}; see `flask caly clients list`."
            )
        return _client(row)

    def owner(self, number: str) -> Client | None:
        """Returns the client that owns the number (E.164), or None."""
        with self._pool.connection() as connection:
            row = connection.execute(_OWNER, {"number": number}).one_or_none()
            return _client(row) if row else None

    def add(self, name: str, numbers: Iterable[str]) -> Client:
        """Adds a client with its numbers (E.164). Raises `ConflictError` if the name or a number is taken."""
        client_id = uuid4()
        with self._pool.transaction() as connection:
            parameters = {"id": client_id, "name": name, "now": clock.now()}
            if connection.execute(_ADD, parameters).rowcount == 0:
                raise ConflictError(f"There is already a client named {name!r}")
            for number in sorted(set(numbers)):  # sorted, so that concurrent calls do not deadlock
                _add_number(connection, client_id, number)
            client = _get(connection, client_id)
            _audit(connection, EventType.DATA_CREATED, client, "Client added", after=_audited_state(client))
            return client

    def add_number(self, client_id: UUID, number: str) -> Client:
        """Adds the number (E.164). Raises `NotFoundError`, or `ConflictError` if a client has it already."""
        with self._pool.transaction() as connection:
            before = _get(connection, client_id, lock=True)
            _add_number(connection, client_id, number)
            return _updated(connection, before, "Number added")

    def remove_number(self, client_id: UUID, number: str) -> Client:
        """Removes the number (E.164). Raises `NotFoundError` if the client does not have it."""
        with self._pool.transaction() as connection:
            before = _get(connection, client_id, lock=True)
            if connection.execute(_REMOVE_NUMBER, {"number": number, "client_id": client_id}).rowcount == 0:
                raise NotFoundError(f"{before.name!r} does not have this number")
            return _updated(connection, before, "Number removed")

    def disable(self, client_id: UUID) -> Client:
        """Refuses the client's keys, numbers and users from now on. Its records stay.

        Raises `NotFoundError`, or `ConflictError` if it is disabled already.
        """
        with self._pool.transaction() as connection:
            before = _get(connection, client_id, lock=True)
            if before.disabled_at:
                raise ConflictError(f"{before.name!r} is disabled already")
            connection.execute(_DISABLE, {"id": client_id, "now": clock.now()})
            return _updated(connection, before, "Client disabled", EventType.CLIENT_DISABLED)

    def enable(self, client_id: UUID) -> Client:
        """Accepts the client again. Raises `NotFoundError`, or `ConflictError` if it is not disabled."""
        with self._pool.transaction() as connection:
            before = _get(connection, client_id, lock=True)
            if not before.disabled_at:
                raise ConflictError(f"{before.name!r} is not disabled")
            connection.execute(_ENABLE, {"id": client_id, "now": clock.now()})
            return _updated(connection, before, "Client enabled", EventType.CLIENT_ENABLED)

    def usage(self, client_id: UUID, since: datetime) -> Usage:
        """Counts what the client loses if it is disabled, and its calls since this time."""
        with self._pool.connection() as connection:
            return Usage(**connection.execute(_USAGE, {"id": client_id, "since": since}).one()._mapping)

    def set_greeting(
        self, client_id: UUID, *, text: str | None = None, voice: str | None = None, language: str | None = None
    ) -> Client:
        """Changes the greeting that callers hear first. None leaves a part unchanged. Raises `NotFoundError`."""
        return self._change_greeting(client_id, _SET_GREETING, {"text": text, "voice": voice, "language": language})

    def reset_greeting(self, client_id: UUID) -> Client:
        """Returns to the greeting of the deployment. Raises `NotFoundError`."""
        return self._change_greeting(client_id, _RESET_GREETING, {})

    def _change_greeting(self, client_id: UUID, statement: Any, greeting: dict[str, str | None]) -> Client:
        with self._pool.transaction() as connection:
            before = _get(connection, client_id, lock=True)
            connection.execute(statement, greeting | {"id": client_id, "now": clock.now()})
            return _updated(connection, before, "Greeting changed", EventType.SETTINGS_CHANGED)

    def rotate_key(self, client_id: UUID) -> Client:
        """Adds the next key version; the versions before stay valid. Raises `NotFoundError`."""
        return self._set_versions(client_id, _ROTATE, "Webhook key rotated")

    def retire_keys(self, client_id: UUID) -> Client:
        """Retires all key versions but the newest. Raises `NotFoundError`, or `ConflictError` if there is only one."""
        return self._set_versions(client_id, _RETIRE, "Older webhook keys retired")

    def _set_versions(self, client_id: UUID, statement: Any, description: str) -> Client:
        with self._pool.transaction() as connection:
            before = _get(connection, client_id, lock=True)
            if connection.execute(statement, {"id": client_id, "now": clock.now()}).rowcount == 0:
                raise ConflictError(f"{before.name!r} has no older key to retire")
            return _updated(connection, before, description, EventType.WEBHOOK_KEY_ROTATED)


def _get(connection: Connection, client_id: UUID, *, lock: bool = False) -> Client:
    if lock:
        connection.execute(_LOCK, {"id": client_id})
    row = connection.execute(_ONE, {"id": client_id}).one_or_none()
    if row is None:
        raise NotFoundError("There is no client with this id")
    return _client(row)


def _add_number(connection: Connection, client_id: UUID, number: str) -> None:
    parameters = {"number": number, "client_id": client_id, "now": clock.now()}
    if connection.execute(_ADD_NUMBER, parameters).rowcount == 0:
        raise ConflictError(f"The number {redact.phone_numbers(number)} belongs to a client already")


def _updated(
    connection: Connection, before: Client, description: str, event: EventType = EventType.DATA_UPDATED
) -> Client:
    client = _get(connection, before.id)
    _audit(connection, event, client, description, before=_audited_state(before), after=_audited_state(client))
    return client


def _audit(
    connection: Connection, event: EventType, client: Client, description: str, **changes: dict[str, Any]
) -> None:
    entry = Entry.now(
        event,
        description,
        client_id=client.id,
        resource="client",
        resource_id=str(client.id),
        changes=changes,
        metadata={"via": "command line"},
    )
    audit_log.append(connection, entry)


def _audited_state(client: Client) -> dict[str, Any]:
    """Returns what the audit log keeps of a client."""
    return {
        "name": client.name,
        "numbers": list(client.numbers),
        "keyVersion": client.key_version,
        "oldestKeyVersion": client.oldest_key_version,
        "sayText": client.say_text,
        "sayVoice": client.say_voice,
        "sayLanguage": client.say_language,
        "disabledAt": clock.iso(client.disabled_at) if client.disabled_at else None,
    }


def _client(row: Any) -> Client:
    return Client(**{**row._mapping, "numbers": tuple(row.numbers)})


_SELECT = """
SELECT id, name, key_version, oldest_key_version, say_text, say_voice, say_language, disabled_at,
  ARRAY(SELECT number FROM client_numbers WHERE client_id = clients.id ORDER BY number) AS numbers
FROM clients
"""


_ALL = named("list_clients", f"{_SELECT} ORDER BY name")
_ONE = named("read_client", f"{_SELECT} WHERE id = :id")
_LOCK = named("lock_client", "SELECT FROM clients WHERE id = :id FOR UPDATE")
_OWNER = named(
    "find_number_owner",
    f"{_SELECT} WHERE id = (SELECT client_id FROM client_numbers WHERE number = :number)",  # noqa: S608 — constant
)
_ADD = named(
    "add_client",
    "INSERT INTO clients (id, name, created_at, updated_at) VALUES (:id, :name, :now, :now) "
    "ON CONFLICT (name) DO NOTHING",
)
_ADD_NUMBER = named(
    "add_number",
    "INSERT INTO client_numbers (number, client_id, created_at) VALUES (:number, :client_id, :now) "
    "ON CONFLICT (number) DO NOTHING",
)
_REMOVE_NUMBER = named("remove_number", "DELETE FROM client_numbers WHERE number = :number AND client_id = :client_id")
_FIND = named(
    "find_client",
    f"{_SELECT} WHERE name = :name OR id = (SELECT client_id FROM client_numbers WHERE number = :number) "  # noqa: S608
    "ORDER BY name = :name DESC",
)
_USAGE = named(
    "count_client_usage",
    """
SELECT
  (SELECT count(*) FROM users WHERE client_id = :id AND suspended_at IS NULL) AS users,
  (SELECT count(*) FROM api_keys WHERE client_id = :id AND revoked_at IS NULL
     AND (expires_at IS NULL OR expires_at > now())) AS api_keys,
  (SELECT count(*) FROM calls WHERE client_id = :id AND created_at >= :since) AS calls
""",
)
_ENABLE = named("enable_client", "UPDATE clients SET disabled_at = NULL, updated_at = :now WHERE id = :id")
_DISABLE = named("disable_client", "UPDATE clients SET disabled_at = :now, updated_at = :now WHERE id = :id")
_SET_GREETING = named(
    "set_greeting",
    "UPDATE clients SET say_text = coalesce(:text, say_text), say_voice = coalesce(:voice, say_voice), "
    "say_language = coalesce(:language, say_language), updated_at = :now WHERE id = :id",
)
_RESET_GREETING = named(
    "reset_greeting",
    "UPDATE clients SET say_text = NULL, say_voice = NULL, say_language = NULL, updated_at = :now WHERE id = :id",
)
_ROTATE = named("rotate_key", "UPDATE clients SET key_version = key_version + 1, updated_at = :now WHERE id = :id")
_RETIRE = named(
    "retire_keys",
    "UPDATE clients SET oldest_key_version = key_version, updated_at = :now "
    "WHERE id = :id AND oldest_key_version < key_version",
)
