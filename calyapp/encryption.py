"""Secrets at rest: AES-256-GCM under ENCRYPTION_KEY, each secret bound to whom it belongs to. Knows no database.

What is sealed begins with the id of its key, so that a key can be changed while what lies under the one before stays
readable: key id (4 bytes), nonce (12, random), ciphertext with its tag (16 more than the plain text).
"""

import hashlib
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_ID_BYTES = 4
_NONCE_BYTES = 12


class UnreadableSecretError(Exception):
    """It is under a key that is not set, damaged, or another's."""


@dataclass(frozen=True, slots=True)
class Census:
    """How many secrets are sealed, how many of them under the key before, and how many under none that is set."""

    sealed: int
    under_previous: int
    unreadable: int


class Encryption:
    """Seals under one key, and opens what is under it or the one before."""

    def __init__(self, key: bytes, previous: bytes | None = None) -> None:
        """Keys of 32 bytes."""
        self.key_id = _id_of(key)
        self._ciphers = {_id_of(known): AESGCM(known) for known in (key, previous) if known}

    @property
    def readable(self) -> frozenset[bytes]:
        """The ids of the keys that it opens with."""
        return frozenset(self._ciphers)

    def seal(self, plain: bytes, owner: bytes) -> bytes:
        """For this owner only. The same text is never sealed the same twice."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self.key_id + nonce + self._ciphers[self.key_id].encrypt(nonce, plain, self.key_id + owner)

    def open(self, sealed: bytes, owner: bytes) -> bytes:
        """The plain text. Raises `UnreadableSecretError`."""
        key_id, nonce, content = _split(sealed)
        try:
            return self._ciphers[key_id].decrypt(nonce, content, key_id + owner)
        except (KeyError, InvalidTag, ValueError):
            raise UnreadableSecretError from None  # the reasons would tell an attacker one from the other


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    nonce_ends = KEY_ID_BYTES + _NONCE_BYTES
    return sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:nonce_ends], sealed[nonce_ends:]


def _id_of(key: bytes) -> bytes:
    """Tells keys apart, and nothing of the key itself."""
    return hashlib.sha256(b"caly encryption key id" + key).digest()[:KEY_ID_BYTES]
