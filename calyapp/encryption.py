"""Encrypts stored secrets: AES-256-GCM with ENCRYPTION_KEY, each secret bound to its owner. Knows no database.

A sealed secret starts with the id of its key, so that secrets under the previous key stay readable after a change of
the key. Layout: key id (4 bytes), nonce (12 random bytes), ciphertext and tag (16 bytes more than the plain text).
"""

import hashlib
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_ID_BYTES = 4
_NONCE_BYTES = 12


class UnreadableSecretError(Exception):
    """The secret is damaged, belongs to another owner, or its key is not set."""


@dataclass(frozen=True, slots=True)
class Census:
    """The number of sealed secrets, of those under the previous key, and of those under a key that is not set."""

    sealed: int
    under_previous: int
    unreadable: int


class Encryption:
    """Seals with one key, and opens what was sealed with it or the previous key."""

    def __init__(self, key: bytes, previous: bytes | None = None) -> None:
        """Each key has 32 bytes."""
        self.key_id = _id_of(key)
        self._ciphers = {_id_of(each): AESGCM(each) for each in (key, previous) if each}

    @property
    def readable(self) -> frozenset[bytes]:
        """The ids of the keys whose secrets can be opened."""
        return frozenset(self._ciphers)

    def seal(self, plain: bytes, owner: bytes) -> bytes:
        """Returns the secret, sealed for this owner. Sealing the same text again gives another result."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self.key_id + nonce + self._ciphers[self.key_id].encrypt(nonce, plain, self.key_id + owner)

    def open(self, sealed: bytes, owner: bytes) -> bytes:
        """Returns the plain text. Raises `UnreadableSecretError`."""
        key_id, nonce, content = _split(sealed)
        try:
            return self._ciphers[key_id].decrypt(nonce, content, key_id + owner)
        except (KeyError, InvalidTag, ValueError):
            raise UnreadableSecretError from None  # an attacker must not learn which of the reasons it was


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    nonce_ends = KEY_ID_BYTES + _NONCE_BYTES
    return sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:nonce_ends], sealed[nonce_ends:]


def _id_of(key: bytes) -> bytes:
    """Returns an id that distinguishes keys and reveals nothing of the key."""
    return hashlib.sha256(b"caly encryption key id" + key).digest()[:KEY_ID_BYTES]
