"""The SQL of sessions. Signing in opens a session; closing or revoking one takes effect at once for all workers.

A session ends twelve hours after it was opened, and half an hour after its last use. The use is recorded at most once
a minute, so that most reads need no write. A session can therefore end up to a minute early, never late.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from calyapp import clock
from calyapp.access import tokens
from calyapp.access.principal import Origin, Principal, PrincipalKind, Role
from calyapp.access.tokens import TokenKind
from calyapp.access.user_store import CLIENT_IS_NOT_DISABLED, Credentials
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.db.engine import Pool
from calyapp.db.queries import named
from calyapp.errors import DatabaseAway

MAX_LIFETIME = timedelta(hours=12)
MAX_IDLE = timedelta(minutes=30)
USE_RECORDED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session. Only here is its token known."""

    token: str
    expires_at: datetime


class SessionStore:
    """Opens, finds and ends sessions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def open(self, credentials: Credentials, origin: Origin) -> OpenedSession | None:
        """Opens a session for a user whose password was verified against these credentials.

        Returns None if the password has changed since, the user is suspended or the client is disabled.
        """
        now, token = clock.now(), tokens.mint(TokenKind.SESSION)
        user = credentials.user
        given = {"id": uuid4(), "user_id": user.id, "hash": credentials.password_hash, "now": now}
        given |= {"token_hash": tokens.digest(token), "expires_at": now + MAX_LIFETIME}
        given |= {"ip_address": origin.ip_address, "user_agent": origin.user_agent}
        with self._pool.transaction() as connection:
            if connection.execute(_OPEN, given).rowcount == 0:
                return None
            _audit(connection, EventType.LOGIN_SUCCESS, "Signed in", user.id, user.client_id, origin)
        return OpenedSession(token, now + MAX_LIFETIME)

    def find(self, token: str) -> Principal | None:
        """Returns the principal of a session, or None if it ended, or the user is suspended or the client disabled."""
        now = clock.now()
        given = {"token_hash": tokens.digest(token), "now": now, "idle": now - MAX_IDLE}
        with self._pool.connection() as connection:
            row = connection.execute(_FIND, given).one_or_none()
        if row and now - row.last_used_at >= USE_RECORDED_EVERY:
            self._record_use(row.session_id, now)
        return _principal(row) if row else None

    def close(self, principal: Principal, origin: Origin) -> None:
        """Ends the principal's session. Concurrent requests write one audit entry."""
        with self._pool.transaction() as connection:
            if connection.execute(_CLOSE, {"id": principal.session_id, "now": clock.now()}).rowcount:
                _audit(connection, EventType.LOGOUT, "Signed out", principal.id, principal.client_id, origin)

    def forget_expired(self) -> None:
        """Deletes expired sessions. Revoked ones stay until they would have expired."""
        with self._pool.transaction() as connection:
            connection.execute(_FORGET_EXPIRED, {"now": clock.now()})

    def _record_use(self, session_id: UUID, now: datetime) -> None:
        # A standby accepts no writes. Authentication still works there; only the time of use is not recorded.
        with suppress(DatabaseAway), self._pool.transaction() as connection:
            connection.execute(_RECORD_USE, {"id": session_id, "now": now, "before": now - USE_RECORDED_EVERY})


def _audit(
    connection: Connection,
    event: EventType,
    description: str,
    user_id: UUID,
    client_id: UUID | None,
    origin: Origin,
) -> None:
    entry = Entry.now(
        event,
        description,
        client_id=client_id,
        user_id=user_id,
        resource="user",
        resource_id=str(user_id),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        request_id=origin.request_id,
        metadata={"via": origin.via},
    )
    audit_log.append(connection, entry)


def _principal(row: Any) -> Principal:
    return Principal(
        kind=PrincipalKind.USER,
        id=row.user_id,
        name=row.email,
        role=Role(row.role),
        client_id=row.client_id,
        session_id=row.session_id,
    )


# FOR SHARE waits for a concurrent change of the password, then sees the new hash and opens no session.
_OPEN = named(
    "open_session",
    "INSERT INTO sessions (id, user_id, token_hash, created_at, last_used_at, expires_at, ip_address, user_agent) "  # noqa: S608 — constants
    "SELECT :id, id, :token_hash, :now, :now, :expires_at, CAST(:ip_address AS inet), :user_agent "
    "FROM users WHERE id = :user_id AND password_hash = :hash AND suspended_at IS NULL "
    f"AND {CLIENT_IS_NOT_DISABLED} FOR SHARE",
)
_FIND = named(
    "find_session",
    "SELECT sessions.id AS session_id, last_used_at, user_id, email, role, client_id "  # noqa: S608 — constants
    "FROM sessions JOIN users ON users.id = user_id "
    "WHERE token_hash = :token_hash AND revoked_at IS NULL AND expires_at > :now AND last_used_at > :idle "
    f"AND suspended_at IS NULL AND {CLIENT_IS_NOT_DISABLED}",
)
_CLOSE = named("close_session", "UPDATE sessions SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL")
_RECORD_USE = named(
    "note_session_use", "UPDATE sessions SET last_used_at = :now WHERE id = :id AND last_used_at <= :before"
)
_FORGET_EXPIRED = named("forget_expired_sessions", "DELETE FROM sessions WHERE expires_at < :now")
