"""The token in a stream's URL: it tells the media server that Caly sent this call, and until when that holds.

The layout is promised to the media server's developers in docs/stream-token.md.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

_VERSION = b"\x01"
_HEAD_BYTES = 7


@dataclass(frozen=True, slots=True)
class Signature:
    """Which of several keys signed a token, and until when it is good."""

    key_index: int
    expires_at: datetime


def mint(key: bytes, call_id: UUID, expires_at: datetime) -> str:
    """52 URL-safe characters: version (1 byte), expiry (6, Unix seconds), HMAC-SHA256 (32) over these and the call."""
    head = _VERSION + int(expires_at.timestamp()).to_bytes(6)
    return base64.urlsafe_b64encode(head + _mac(key, head, call_id)).decode()


def read(keys: Sequence[bytes], call_id: UUID, token: str) -> Signature | None:
    """The signature of this call's token, or None if no key of these made it. Says nothing of whether it expired."""
    try:
        blob = base64.urlsafe_b64decode(token)
    except ValueError:
        return None
    head, mac = blob[:_HEAD_BYTES], blob[_HEAD_BYTES:]
    genuine = [hmac.compare_digest(mac, _mac(key, head, call_id)) for key in keys]
    if not any(genuine) or head[:1] != _VERSION:
        return None
    return Signature(genuine.index(True), datetime.fromtimestamp(int.from_bytes(head[1:]), UTC))


def _mac(key: bytes, head: bytes, call_id: UUID) -> bytes:
    return hmac.digest(key, head + call_id.bytes, hashlib.sha256)
