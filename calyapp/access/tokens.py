"""Session tokens and API keys: 256 random bits behind a prefix that tells which it is. They mean nothing by themselves.

A token is `cas_` (session) or `cak_` (API key) and 48 URL-safe characters: the secret (32 bytes) and a checksum (4), by
which a slip of the pen is refused without asking the database. Only a token's SHA-256 is stored, and looked up: so
many random bits need no slow hash, and what an index tells by its speed is of the hash alone.
"""

import base64
import hashlib
import hmac
import re
import secrets
from enum import StrEnum

_FORM = re.compile(r"(cas_|cak_)([A-Za-z0-9_-]{48})")
_SECRET_BYTES = 32
_CHECKSUM_BYTES = 4
_SHOWN = 12


class TokenKind(StrEnum):
    """What a token is, by its prefix."""

    SESSION = "cas_"
    API_KEY = "cak_"


def mint(kind: TokenKind) -> str:
    """A new token."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    return kind + base64.urlsafe_b64encode(secret + _checksum(kind, secret)).decode()


def kind_of(token: str) -> TokenKind | None:
    """What the token is, or None for what was never minted as one."""
    if not (match := _FORM.fullmatch(token)):
        return None
    kind, blob = TokenKind(match[1]), base64.urlsafe_b64decode(match[2])
    secret, checksum = blob[:_SECRET_BYTES], blob[_SECRET_BYTES:]
    return kind if hmac.compare_digest(checksum, _checksum(kind, secret)) else None


def digest(token: str) -> bytes:
    """What is stored in the token's place: 32 bytes."""
    return hashlib.sha256(token.encode()).digest()


def shown(token: str) -> str:
    """The beginning of it, by which people tell one from another; 208 of its secret bits stay unsaid."""
    return token[:_SHOWN]


def _checksum(kind: TokenKind, secret: bytes) -> bytes:
    return hashlib.sha256(kind.encode() + secret).digest()[:_CHECKSUM_BYTES]
