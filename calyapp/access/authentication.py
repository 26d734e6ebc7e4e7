"""Proving who one is: by password for a session, then by its token; programs by their API key."""

from contextlib import suppress
from dataclasses import dataclass

from calyapp.access import passwords, tokens
from calyapp.access.key_store import ApiKeyStore
from calyapp.access.passwords import Passwords
from calyapp.access.principal import Origin, Principal
from calyapp.access.session_store import OpenedSession, SessionStore
from calyapp.access.tokens import TokenKind
from calyapp.access.user_store import Credentials, User, UserStore
from calyapp.errors import RateLimitError


@dataclass(frozen=True, slots=True)
class SignIn:
    """How an attempt ended: whom the address belongs to, if anybody, and the session, if it was opened."""

    user: User | None
    session: OpenedSession | None


class Authentication:
    """The doors into the records API."""

    def __init__(self, users: UserStore, sessions: SessionStore, keys: ApiKeyStore, passwords: Passwords) -> None:
        self._users = users
        self._sessions = sessions
        self._keys = keys
        self._passwords = passwords

    def identify(self, token: str) -> Principal | None:
        """Who came with this session token or API key; None if it is none, or no longer good."""
        kind = tokens.kind_of(token)
        if kind is TokenKind.SESSION:
            return self._sessions.find(token)
        return self._keys.find(token) if kind is TokenKind.API_KEY else None

    def sign_in(self, email: str, password: str, origin: Origin) -> SignIn:
        """One verification, whether the user exists or not. Raises `RateLimitError` when too many are at it."""
        credentials = self._users.credentials(email)
        if not self._passwords.verify(password, credentials.password_hash if credentials else None) or not credentials:
            return SignIn(credentials.user if credentials else None, None)
        session = self._sessions.open(credentials, origin)
        if session:
            self._renew_hash(credentials, password)
        return SignIn(credentials.user, session)

    def sign_out(self, principal: Principal, origin: Origin) -> None:
        """End the session that they came with."""
        self._sessions.close(principal, origin)

    def change_password(self, principal: Principal, current: str, new: str, origin: Origin) -> bool:
        """Whether the current password was right, and still is; then the new one is set, all other sessions are ended.

        Raises `ValidationError` for a new password that is not taken, `RateLimitError` when too many are at it.
        """
        passwords.check(new)
        credentials = self._users.credentials(principal.name)
        verified = credentials.password_hash if credentials else None
        if not self._passwords.verify(current, verified):
            return False
        new_hash, kept = self._passwords.hash(new), principal.session_id
        return self._users.set_password(principal.id, new_hash, verified=verified, keep_session=kept, origin=origin)

    def _renew_hash(self, credentials: Credentials, password: str) -> None:
        """The one moment at which the password is known, to store it under today's parameters.

        Where too many are at it, the next one will do: they are signed in already.
        """
        outdated = credentials.password_hash
        if self._passwords.is_outdated(outdated):
            with suppress(RateLimitError):
                self._users.renew_hash(credentials.user.id, outdated, self._passwords.hash(password))
