"""The SQL of users. Every change is audited in its own transaction, under the user whom it is about."""

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
    """Somebody who signs in with an e-mail address (in small letters) and a password."""

    id: UUID
    email: str
    role: Role
    client_id: UUID | None
    created_at: datetime
    suspended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is compared with, and whose."""

    user: User
    password_hash: str


class UserStore:
    """Reads and changes users."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def all(self) -> list[User]:
        """Every user, suspended ones too, by e-mail address."""
        with self._pool.connection() as connection:
            return [_user(row) for row in connection.execute(_ALL)]

    def find(self, email: str) -> User:
        """The user with this e-mail address. Raises `NotFoundError`."""
        if (known := self.credentials(email.strip().lower())) is None:
            raise NotFoundError(f"There is no user with the id or address {email!r}; see `flask caly users list`.")
        return known.user

    def credentials(self, email: str) -> Credentials | None:
        """Those of the user with this address, suspended or not."""
        with self._pool.connection() as connection:
            row = connection.execute(_CREDENTIALS, {"email": email}).one_or_none()
            return Credentials(_user(row), row.password_hash) if row else None

    def add(self, email: str, password_hash: str, role: Role, client_id: UUID | None = None) -> User:
        """A new user. Raises `ConflictError` if the address is taken, `ValidationError` for a role without its client.

        That the client exists is for the caller to know.
        """
        check_scope(role, client_id)
        user_id = uuid4()
        given = {"id": user_id, "email": email, "hash": password_hash, "role": role.value, "client_id": client_id}
        with self._pool.transaction() as connection:
            if connection.execute(_ADD, given | {"now": clock.now()}).rowcount == 0:
                raise ConflictError("There is already a user with this e-mail address")
            user = _get(connection, user_id)
            _audit(connection, EventType.USER_CREATED, user, "User added", after=_shown(user))
            return user

    def suspend(self, user_id: UUID) -> User:
        """Let them in no more; what they did stays theirs. Raises `NotFoundError`, `ConflictError`."""
        with self._pool.transaction() as connection:
            before = _get(connection, user_id, lock=True)
            if before.suspended_at:
                raise ConflictError(f"{before.email} is suspended already")
            connection.execute(_SUSPEND, {"id": user_id, "now": clock.now()})
            connection.execute(_REVOKE, {"id": user_id, "keep": None, "now": clock.now()})
            return _updated(connection, before, EventType.USER_SUSPENDED, "User suspended")

    def unsuspend(self, user_id: UUID) -> User:
        """Let them sign in again. Raises `NotFoundError`, `ConflictError`."""
        with self._pool.transaction() as connection:
            before = _get(connection, user_id, lock=True)
            if not before.suspended_at:
                raise ConflictError(f"{before.email} is not suspended")
            connection.execute(_UNSUSPEND, {"id": user_id})
            return _updated(connection, before, EventType.USER_UNSUSPENDED, "User unsuspended")

    def set_role(self, user_id: UUID, role: Role, client_id: UUID | None = None) -> User:
        """Effective at once, in open sessions too. Raises as `add`, and `NotFoundError`."""
        check_scope(role, client_id)
        with self._pool.transaction() as connection:
            before = _get(connection, user_id, lock=True)
            if (before.role, before.client_id) == (role, client_id):
                raise ConflictError(f"{before.email} has this role already")
            connection.execute(_SET_ROLE, {"id": user_id, "role": role.value, "client_id": client_id})
            return _updated(connection, before, EventType.PERMISSION_CHANGED, "Role changed")

    def delete(self, user_id: UUID) -> None:
        """Forget the user and their sessions; the trail keeps who they were. Raises `NotFoundError`."""
        with self._pool.transaction() as connection:
            before = _get(connection, user_id, lock=True)
            connection.execute(_DELETE, {"id": user_id})
            _audit(connection, EventType.USER_DELETED, before, "User deleted", before=_shown(before))

    def set_password(
        self,
        user_id: UUID,
        password_hash: str,
        *,
        verified: str | None = None,
        keep_session: UUID | None = None,
        origin: Origin = COMMAND_LINE,
    ) -> bool:
        """Revokes all of their sessions but the one to keep. Raises `NotFoundError`.

        False, and nothing is done, if `verified` is given and is their hash no longer: another change came first.
        """
        with self._pool.transaction() as connection:
            user = _get(connection, user_id, lock=True)
            given = {"id": user_id, "keep": keep_session, "now": clock.now()}
            if connection.execute(_SET_PASSWORD, given | {"hash": password_hash, "verified": verified}).rowcount == 0:
                return False
            ended = connection.execute(_REVOKE, given).rowcount
            _audit(connection, EventType.PASSWORD_CHANGE, user, "Password changed", origin, ended)
            return True

    def renew_hash(self, user_id: UUID, outdated: str, renewed: str) -> None:
        """Keep the same password under newer parameters, unless it was changed meanwhile."""
        with self._pool.transaction() as connection:
            connection.execute(_RENEW_HASH, {"id": user_id, "outdated": outdated, "renewed": renewed})

    def revoke_sessions(self, user_id: UUID) -> int:
        """How many there were. Raises `NotFoundError`."""
        with self._pool.transaction() as connection:
            user = _get(connection, user_id, lock=True)
            ended = connection.execute(_REVOKE, {"id": user_id, "keep": None, "now": clock.now()}).rowcount
            _audit(connection, EventType.SESSION_REVOKED, user, "All sessions revoked", sessions=ended)
            return ended


def _get(connection: Connection, user_id: UUID, *, lock: bool = False) -> User:
    row = connection.execute(_LOCKED if lock else _ONE, {"id": user_id}).one_or_none()
    if row is None:
        raise NotFoundError("There is no user with this id")
    return _user(row)


def _updated(connection: Connection, before: User, event: EventType, description: str) -> User:
    """An entry for the client that had the user and for the one that has them now, each with what is theirs to see."""
    after = _get(connection, before.id)
    for concerned in {before.client_id: before, after.client_id: after}.values():
        changes = {
            name: _shown(user)
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


def _shown(user: User) -> dict[str, Any]:
    """What the trail keeps of a user."""
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


OF_NO_DISABLED_CLIENT = "NOT EXISTS (SELECT FROM clients WHERE clients.id = client_id AND disabled_at IS NOT NULL)"
"""Of a user or a key: a client that is disabled takes them with it, for as long as it is."""

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
