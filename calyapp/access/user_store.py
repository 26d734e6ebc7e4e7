"""The SQL of users. Each change writes an audit entry about the user in the same transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from calyapp import clock
from calyapp.access.principal import COMMAND_LINE, Origin, Role, check_scope
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.db.engine import Pool
from calyapp.db.queries import named
from calyapp.errors import ConflictError, NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user who signs in with an e-mail address (in lower case) and a password."""

    id: UUID
    email: str
    role: Role
    client_id: UUID | None
    created_at: datetime
    suspended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with the hash that the password is verified against."""

    user: User
    password_hash: str


class UserStore:
    """Reads and changes users."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def all(self) -> list[User]:
        """Returns all users, including suspended ones, by e-mail address."""
        with self._pool.connection() as connection:
            return [_user(row) for row in connection.execute(_ALL)]

    def find(self, email: str) -> User:
        """Returns the user with this e-mail address. Raises `NotFoundError`."""
        if (credentials := self.credentials(email.strip().lower())) is None:
            raise NotFoundError(f"No user has the address {email!r}. See `flask caly users list`.")
        return credentials.user

    def credentials(self, email: str) -> Credentials | None:
        """Returns the credentials of the user with this address, suspended or not, or None."""
        with self._pool.connection() as connection:
            row = connection.execute(_CREDENTIALS, {"email": email}).one_or_none()
            return Credentials(_user(row), row.password_hash) if row else None

    def add(self, email: str, password_hash: str, role: Role, client_id: UUID | None = None) -> User:
        """Adds a user. Raises `ConflictError` if the address is taken, `ValidationError` if role and client do not fit.

        The caller checks that the client exists.
        """
        check_scope(role, client_id)
        user_id = uuid4()
        parameters = {"id": user_id, "email": email, "hash": password_hash, "role": role.value, "client_id": client_id}
        with self._pool.transaction() as connection:
            if connection.execute(_ADD, parameters | {"now": clock.now()}).rowcount == 0:
                raise ConflictError("A user with this e-mail address already exists")
            user = _get(connection, user_id)
            _audit(connection, EventType.USER_CREATED, user, "User added", after=_audited(user))
            return user

    def suspend(self, user_id: UUID) -> User:
        """Suspends a user and ends their sessions. Their records stay. Raises `NotFoundError`, `ConflictError`."""
        with self._pool.transaction() as connection:
            before = _get(connection, user_id, lock=True)
            if before.suspended_at:
                raise ConflictError(f"{before.email} is already suspended")
            connection.execute(_SUSPEND, {"id": user_id, "now": clock.now()})
            connection.execute(_REVOKE, {"id": user_id, "keep": None, "now": clock.now()})
            return _updated(connection, before, EventType.USER_SUSPENDED, "User suspended")

    def unsuspend(self, user_id: UUID) -> User:
        """Lets a suspended user sign in again. Raises `NotFoundError`, `ConflictError`."""
        with self._pool.transaction() as connection:
            before = _get(connection, user_id, lock=True)
            if not before.suspended_at:
                raise ConflictError(f"{before.email} is not suspended")
            connection.execute(_UNSUSPEND, {"id": user_id})
            return _updated(connection, before, EventType.USER_UNSUSPENDED, "User unsuspended")

    def set_role(self, user_id: UUID, role: Role, client_id: UUID | None = None) -> User:
        """Changes the role, at once, in open sessions too. Raises what `add` raises, and `NotFoundError`."""
        check_scope(role, client_id)
        with self._pool.transaction() as connection:
            before = _get(connection, user_id, lock=True)
            if (before.role, before.client_id) == (role, client_id):
                raise ConflictError(f"{before.email} already has this role")
            connection.execute(_SET_ROLE, {"id": user_id, "role": role.value, "client_id": client_id})
            return _updated(connection, before, EventType.PERMISSION_CHANGED, "Role changed")

    def delete(self, user_id: UUID) -> None:
        """Deletes a user and their sessions. The audit log keeps what the user was. Raises `NotFoundError`."""
        with self._pool.transaction() as connection:
            before = _get(connection, user_id, lock=True)
            connection.execute(_DELETE, {"id": user_id})
            _audit(connection, EventType.USER_DELETED, before, "User deleted", before=_audited(before))

    def set_password(
        self,
        user_id: UUID,
        password_hash: str,
        *,
        verified: str | None = None,
        keep_session: UUID | None = None,
        origin: Origin = COMMAND_LINE,
    ) -> bool:
        """Sets a password and revokes all sessions except `keep_session`. Raises `NotFoundError`.

        Returns False and changes nothing if `verified` is given and is no longer the stored hash.
        """
        with self._pool.transaction() as connection:
            user = _get(connection, user_id, lock=True)
            parameters = {"id": user_id, "keep": keep_session, "now": clock.now()}
            if (
                connection.execute(_SET_PASSWORD, parameters | {"hash": password_hash, "verified": verified}).rowcount
                == 0
            ):
                return False
            ended = connection.execute(_REVOKE, parameters).rowcount
            _audit(connection, EventType.PASSWORD_CHANGE, user, "Password changed", origin, ended)
            return True

    def renew_hash(self, user_id: UUID, outdated: str, renewed: str) -> None:
        """Replaces the hash of the same password, unless the password has changed."""
        with self._pool.transaction() as connection:
            connection.execute(_RENEW_HASH, {"id": user_id, "outdated": outdated, "renewed": renewed})

    def revoke_sessions(self, user_id: UUID) -> int:
        """Revokes all sessions of a user. Returns how many there were. Raises `NotFoundError`."""
        with self._pool.transaction() as connection:
            user = _get(connection, user_id, lock=True)
            ended = connection.execute(_REVOKE, {"id": user_id, "keep": None, "now": clock.now()}).rowcount
            _audit(connection, EventType.SESSION_REVOKED, user, "All sessions revoked", sessions=ended)
            return ended


def _get(connection: Connection, user_id: UUID, *, lock: bool = False) -> User:
    row = connection.execute(_LOCKED if lock else _ONE, {"id": user_id}).one_or_none()
    if row is None:
        raise NotFoundError("No user has this id")
    return _user(row)


def _updated(connection: Connection, before: User, event: EventType, description: str) -> User:
    """Writes an audit entry for the user's client before and after the change, each with only its own values."""
    after = _get(connection, before.id)
    for concerned in {before.client_id: before, after.client_id: after}.values():
        changes = {
            name: _audited(user)
            for name, user in (("before", before), ("after", after))
            if concerned.client_id in (None, user.client_id)
        }
        _audit(connection, event, concerned, description, COMMAND_LINE, None, **changes)
    return after


def _audit(
    connection: Connection,
    event: EventType,
    user: User,
    description: str,
    origin: Origin = COMMAND_LINE,
    sessions: int | None = None,
    **changes: dict[str, Any],
) -> None:
    entry = Entry.now(
        event,
        description,
        client_id=user.client_id,
        user_id=user.id,
        resource="user",
        resource_id=str(user.id),
        changes=changes,
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        request_id=origin.request_id,
        metadata={"via": origin.via} | ({} if sessions is None else {"sessionsRevoked": sessions}),
    )
    audit_log.append(connection, entry)


def _audited(user: User) -> dict[str, Any]:
    """Returns what the audit log keeps of a user."""
    return {
        "email": user.email,
        "role": user.role.value,
        "clientId": str(user.client_id) if user.client_id else None,
        "suspendedAt": clock.iso(user.suspended_at) if user.suspended_at else None,
    }


def _user(row: Any) -> User:
    return User(
        id=row.id,
        email=row.email,
        role=Role(row.role),
        client_id=row.client_id,
        created_at=row.created_at,
        suspended_at=row.suspended_at,
    )


CLIENT_IS_NOT_DISABLED = "NOT EXISTS (SELECT FROM clients WHERE clients.id = client_id AND disabled_at IS NOT NULL)"
"""A condition on users and API keys: while their client is disabled, they cannot be used."""

_SELECT = "SELECT id, email, role, client_id, created_at, suspended_at, password_hash FROM users"

_ALL = named("list_users", f"{_SELECT} ORDER BY email")
_ONE = named("read_user", f"{_SELECT} WHERE id = :id")
_LOCKED = named("lock_user", f"{_SELECT} WHERE id = :id FOR UPDATE")
_CREDENTIALS = named("find_user", f"{_SELECT} WHERE email = :email")
_ADD = named(
    "add_user",
    "INSERT INTO users (id, email, password_hash, role, client_id, created_at, password_changed_at) "
    "VALUES (:id, :email, :hash, :role, CAST(:client_id AS uuid), :now, :now) ON CONFLICT (email) DO NOTHING",
)
_SUSPEND = named("suspend_user", "UPDATE users SET suspended_at = :now WHERE id = :id")
_UNSUSPEND = named("unsuspend_user", "UPDATE users SET suspended_at = NULL WHERE id = :id")
_SET_ROLE = named("set_role", "UPDATE users SET role = :role, client_id = CAST(:client_id AS uuid) WHERE id = :id")
_DELETE = named("delete_user", "DELETE FROM users WHERE id = :id")
_SET_PASSWORD = named(
    "set_password",
    "UPDATE users SET password_hash = :hash, password_changed_at = :now "
    "WHERE id = :id AND password_hash = COALESCE(CAST(:verified AS text), password_hash)",
)
_RENEW_HASH = named(
    "renew_hash", "UPDATE users SET password_hash = :renewed WHERE id = :id AND password_hash = :outdated"
)
_REVOKE = named(
    "revoke_sessions",
    "UPDATE sessions SET revoked_at = :now WHERE user_id = :id AND revoked_at IS NULL AND expires_at > :now "
    "AND id IS DISTINCT FROM CAST(:keep AS uuid)",
)
