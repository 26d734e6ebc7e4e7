"""Session tokens and API keys: 256 random bits behind a prefix that tells the kind. They contain no data.

A token is `cas_` (session) or `cak_` (API key) and 48 URL-safe characters: the secret (32 bytes) and a checksum (4
bytes), which detects typing errors without a query. Only the SHA-256 of a token is stored and looked up. 256 random
bits need no slow hash, and the timing of the index reveals only the hash.
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
_SHOWN_LENGTH = 12


class TokenKind(StrEnum):
    """The kinds of tokens, by prefix."""

    SESSION = "cas_"
    API_KEY = "cak_"


def mint(kind: TokenKind) -> str:
    """Returns a new token."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    return kind + base64.urlsafe_b64encode(secret + _checksum(kind, secret)).decode()


def kind_of(token: str) -> TokenKind | None:
    """Returns the kind of a token, or None if its form or checksum is wrong."""
    if not (match := _FORM.fullmatch(token)):
        return None
    kind, blob = TokenKind(match[1]), base64.urlsafe_b64decode(match[2])
    secret, checksum = blob[:_SECRET_BYTES], blob[_SECRET_BYTES:]
    return kind if hmac.compare_digest(checksum, _checksum(kind, secret)) else None


def digest(token: str) -> bytes:
    """Returns the 32 bytes that are stored instead of the token."""
    return hashlib.sha256(token.encode()).digest()


def shown(token: str) -> str:
    """Returns the first characters, which identify a token to people. 208 bits of its secret stay hidden."""
    return token[:_SHOWN_LENGTH]


def _checksum(kind: TokenKind, secret: bytes) -> bytes:
    return hashlib.sha256(kind.encode() + secret).digest()[:_CHECKSUM_BYTES]
