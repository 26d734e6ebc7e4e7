"""Authenticates users (by password, then by session token) and programs (by API key)."""

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
    """The outcome of an attempt to sign in: the user with this address, if any, and the session if it was opened."""

    user: User | None
    session: OpenedSession | None


class Authentication:
    """Authentication for the records API."""

    def __init__(self, users: UserStore, sessions: SessionStore, keys: ApiKeyStore, passwords: Passwords) -> None:
        self._users = users
        self._sessions = sessions
        self._keys = keys
        self._passwords = passwords

    def identify(self, token: str) -> Principal | None:
        """Returns the principal of a session token or API key, or None if it is invalid, expired or revoked."""
        kind = tokens.kind_of(token)
        if kind is TokenKind.SESSION:
            return self._sessions.find(token)
        return self._keys.find(token) if kind is TokenKind.API_KEY else None

    def sign_in(self, email: str, password: str, origin: Origin) -> SignIn:
        """Verifies a password and opens a session. An unknown user costs the same time, so that timing reveals nothing.

        Raises `RateLimitError` if too many verifications are running.
        """
        credentials = self._users.credentials(email)
        if not self._passwords.verify(password, credentials.password_hash if credentials else None) or not credentials:
            return SignIn(credentials.user if credentials else None, None)
        session = self._sessions.open(credentials, origin)
        if session:
            self._renew_hash(credentials, password)
        return SignIn(credentials.user, session)

    def sign_out(self, principal: Principal, origin: Origin) -> None:
        """Ends the principal's session."""
        self._sessions.close(principal, origin)

    def change_password(self, principal: Principal, current: str, new: str, origin: Origin) -> bool:
        """Sets a new password and ends all other sessions. Returns False if the current one is wrong or has changed.

        Raises `ValidationError` if the new password is too weak, `RateLimitError` if too many are being verified.
        """
        passwords.check(new)
        credentials = self._users.credentials(principal.name)
        verified = credentials.password_hash if credentials else None
        if not self._passwords.verify(current, verified):
            return False
        new_hash, kept = self._passwords.hash(new), principal.session_id
        return self._users.set_password(principal.id, new_hash, verified=verified, keep_session=kept, origin=origin)

    def _renew_hash(self, credentials: Credentials, password: str) -> None:
        """Stores the password under today's parameters. Only at a sign-in is the password known.

        If too many verifications are running, the next sign-in renews it: the user is already signed in.
        """
        outdated = credentials.password_hash
        if self._passwords.is_outdated(outdated):
            with suppress(RateLimitError):
                self._users.renew_hash(credentials.user.id, outdated, self._passwords.hash(password))
