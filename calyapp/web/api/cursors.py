"""Cursors: opaque, signed positions in a list, valid only for that list.

A list is a route, a tenant and filters. They are signed together with the position; the request repeats them.
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
_MAC_BYTES = 18  # together with the place a multiple of 3, so that Base64 has no unused bits that could be changed
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRONG = "does not belong to this list. Use `next` of the previous answer, with the same filters."

ReadPage = Callable[[Tenant, Mapping[str, Any], Place | None, int], Page]


class Cursors:
    """Signs places in lists, and verifies them."""

    def __init__(self, secret: bytes) -> None:
        # A separate key, so that nothing else that is signed with the secret is a valid cursor.
        self._key = hmac.digest(secret, b"caly cursor", hashlib.sha256)

    def issue(self, place: Place, listed: Mapping[str, Any]) -> str:
        """Returns the cursor of a place in the list that `listed` describes."""
        microseconds = (place.created_at - _EPOCH) // timedelta(microseconds=1)
        packed = _PLACE.pack(microseconds, place.id.bytes)
        return base64.urlsafe_b64encode(packed + self._mac(packed, listed)).decode()

    def read(self, cursor: str, listed: Mapping[str, Any]) -> Place:
        """Returns the place. Raises `ValidationError` if the cursor was not issued for this list."""
        content = _decoded(cursor)
        packed, mac = content[: _PLACE.size], content[_PLACE.size :]
        if not hmac.compare_digest(mac, self._mac(packed, listed)):
            raise ValidationError(f"cursor {_WRONG}", {"cursor": [_WRONG]})
        microseconds, identifier = _PLACE.unpack(packed)
        return Place(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=identifier))

    def page(
        self,
        name: str,
        tenant: Tenant,
        parameters: Mapping[str, Any],
        read: ReadPage,
        show: Callable[[Row], dict[str, Any]],
    ) -> dict[str, Any]:
        """Returns a page of the named list as the API shows it. `parameters` are loaded by a `PaginationSchema`.

        Raises `ValidationError` if the cursor belongs to another list.
        """
        filters = {name: value for name, value in parameters.items() if name not in ("limit", "cursor")}
        listed = {**filters, "list": name, "tenant": str(tenant)}
        after = self.read(parameters["cursor"], listed) if "cursor" in parameters else None
        page = read(tenant, filters, after, parameters["limit"])
        return {
            "items": [show(row) for row in page.rows],
            "next": self.issue(page.next, listed) if page.next else None,
        }

    def _mac(self, packed: bytes, listed: Mapping[str, Any]) -> bytes:
        description = orjson.dumps(listed, option=orjson.OPT_SORT_KEYS)
        return hmac.digest(self._key, packed + description, hashlib.sha256)[:_MAC_BYTES]


def _decoded(cursor: str) -> bytes:
    """Returns the decoded bytes; empty if they are not Base64, which no MAC matches."""
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
