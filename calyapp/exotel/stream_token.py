"""The token in a stream's URL: it tells the media server that Caly sent this call, and until when that holds.

The layout is promised to the media server's developers in docs/stream-token.md.
"""

import base64
import hashlib
import hmac
from datetime import datetime
from uuid import UUID

_VERSION = b"\x01"


def mint(key: bytes, call_id: UUID, expires_at: datetime) -> str:
    """52 URL-safe characters: version (1 byte), expiry (6, Unix seconds), HMAC-SHA256 (32) over these and the call."""
    head = _VERSION + int(expires_at.timestamp()).to_bytes(6)
    mac = hmac.digest(key, head + call_id.bytes, hashlib.sha256)
    return base64.urlsafe_b64encode(head + mac).decode()
