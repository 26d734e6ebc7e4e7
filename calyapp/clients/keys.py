"""Webhook keys: the secret in the URL that a client registers with Exotel.

Exotel signs nothing (docs/exotel-protocol.md, section 8), so this secret proves that a delivery comes from it. A key
is `cwk_` and 56 URL-safe characters: the client's id (16 bytes), the key's version (2) and a MAC over both (24). It
is verified by computation alone, so that deliveries are still accepted while the database is away.
"""

import base64
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from uuid import UUID

_PREFIX = "cwk_"
_FORM = re.compile(r"cwk_[A-Za-z0-9_-]{56}")
_LAYOUT = struct.Struct(">16sH24s")
_PURPOSE = b"caly webhook key v1"


@dataclass(frozen=True, slots=True)
class Claim:
    """The client and the version that a verified key states."""

    client_id: UUID
    version: int


class WebhookKeys:
    """Makes and verifies the keys derived from a root key. Keys derived from the previous root key stay valid."""

    def __init__(self, root: bytes, previous: bytes | None = None) -> None:
        self._root = root
        self._roots = (root, previous) if previous else (root,)

    def mint(self, client_id: UUID, version: int) -> str:
        """Returns the client's key of this version, which is always the same."""
        blob = _LAYOUT.pack(client_id.bytes, version, _mac(self._root, client_id.bytes, version))
        return _PREFIX + base64.urlsafe_b64encode(blob).decode()

    def verify(self, key: str) -> Claim | None:
        """Returns the claim of the key, or None if it is not ours. Takes constant time for every wrong MAC."""
        if not _FORM.fullmatch(key):
            return None
        client, version, mac = _LAYOUT.unpack(base64.urlsafe_b64decode(key.removeprefix(_PREFIX)))
        matches = [hmac.compare_digest(mac, _mac(root, client, version)) for root in self._roots]
        return Claim(UUID(bytes=client), version) if any(matches) else None


def _mac(root: bytes, client: bytes, version: int) -> bytes:
    return hmac.digest(root, _PURPOSE + client + version.to_bytes(2), hashlib.sha256)[:24]
