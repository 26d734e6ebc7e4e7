"""A place in a list as a stranger carries it: opaque, signed, and good for this list only.

The list is its route, whose rows it shows and its filters: they are signed with the place, and travel in the request.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from calyapp.db.keyset import Page, Place, Row
from calyapp.db.tenancy import Tenant
from calyapp.errors import ValidationError

_PLACE = struct.Struct(">q16s")  # microseconds since the epoch, and an id
_MAC_BYTES = 18  # with the place a multiple of three: in Base64 no bit is left over that could be another
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRONG = "is no cursor of this list: take it from the answer before, and keep the filters."

ReadPage = Callable[[Tenant, Mapping[str, Any], Place | None, int], Page]


class Cursors:
    """Signs places and knows its own again."""

    def __init__(self, secret: bytes) -> None:
        # A key of its own: nothing else that is signed under the secret can pass for a cursor.
        self._key = hmac.digest(secret, b"caly cursor", hashlib.sha256)

    def issue(self, place: Place, of: Mapping[str, Any]) -> str:
        """The cursor of a place in the list `of` these."""
        microseconds = (place.created_at - _EPOCH) // timedelta(microseconds=1)
        packed = _PLACE.pack(microseconds, place.id.bytes)
        return base64.urlsafe_b64encode(packed + self._mac(packed, of)).decode()

    def read(self, cursor: str, of: Mapping[str, Any]) -> Place:
        """The place. Raises `ValidationError` for what was not issued for this list."""
        content = _decoded(cursor)
        packed, mac = content[: _PLACE.size], content[_PLACE.size :]
        if not hmac.compare_digest(mac, self._mac(packed, of)):
            raise ValidationError(f"cursor {_WRONG}", {"cursor": [_WRONG]})
        microseconds, identifier = _PLACE.unpack(packed)
        return Place(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=identifier))

    def page(
        self, name: str, tenant: Tenant, asked: Mapping[str, Any], read: ReadPage, show: Callable[[Row], dict[str, Any]]
    ) -> dict[str, Any]:
        """A page of the list of this name, as the API shows it. `asked` is what a `PaginationSchema` loaded.

        Raises `ValidationError` for a cursor of another list.
        """
        filters = {name: value for name, value in asked.items() if name not in ("limit", "cursor")}
        listed = {**filters, "list": name, "tenant": str(tenant)}
        after = self.read(asked["cursor"], listed) if "cursor" in asked else None
        page = read(tenant, filters, after, asked["limit"])
        return {
            "items": [show(row) for row in page.rows],
            "next": self.issue(page.next, listed) if page.next else None,
        }

    def _mac(self, packed: bytes, of: Mapping[str, Any]) -> bytes:
        listed = orjson.dumps(of, option=orjson.OPT_SORT_KEYS)
        return hmac.digest(self._key, packed + listed, hashlib.sha256)[:_MAC_BYTES]


def _decoded(cursor: str) -> bytes:
    """Its bytes; none, which no MAC is good for, if it cannot be read."""
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
