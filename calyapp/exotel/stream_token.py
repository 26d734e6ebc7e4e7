"""Makes and reads the token in a stream's URL: it proves to the media server that Caly sent the call, until it expires.

docs/stream-token.md specifies the layout for the developers of media servers. It must not change.
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
    """The index of the key that signed a token, and the time when the token expires."""

    key_index: int
    expires_at: datetime


def mint(key: bytes, call_id: UUID, expires_at: datetime) -> str:
    """Returns the token of a call: 52 URL-safe characters.

    It holds the version (1 byte), the expiry in Unix seconds (6) and an HMAC-SHA256 (32) over both and the call's id.
    """
    head = _VERSION + int(expires_at.timestamp()).to_bytes(6)
    return base64.urlsafe_b64encode(head + _mac(key, head, call_id)).decode()


def read(keys: Sequence[bytes], call_id: UUID, token: str) -> Signature | None:
    """Returns the signature of the call's token, or None if none of the keys signed it. Does not check the expiry."""
    try:
        blob = base64.urlsafe_b64decode(token)
    except ValueError:
        return None
    head, mac = blob[:_HEAD_BYTES], blob[_HEAD_BYTES:]
    matches = [hmac.compare_digest(mac, _mac(key, head, call_id)) for key in keys]
    if not any(matches) or head[:1] != _VERSION:
        return None
    return Signature(matches.index(True), datetime.fromtimestamp(int.from_bytes(head[1:]), UTC))


def _mac(key: bytes, head: bytes, call_id: UUID) -> bytes:
    return hmac.digest(key, head + call_id.bytes, hashlib.sha256)
