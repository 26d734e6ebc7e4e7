"""Encodes a delivery as an HTTP request in the way Exotel does: docs/exotel-protocol.md, sections 2.1 and 4. Pure."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from calyapp.simulation.scenarios import JSON, Delivery


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request, without the address and the key."""

    query: str
    body: bytes | None
    headers: dict[str, str]


def request(delivery: Delivery) -> Request:
    """Encodes the delivery as its content type says."""
    if delivery.content_type is None:
        return Request(urlencode(delivery.pairs), None, {})
    if delivery.content_type == JSON:
        return Request("", json.dumps(_nested(delivery)).encode(), {"Content-Type": JSON})
    boundary = f"form-data-boundary-{hashlib.sha256(repr(delivery.pairs).encode()).hexdigest()[:16]}"
    return Request("", _parts(delivery, boundary), {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def _parts(delivery: Delivery, boundary: str) -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in delivery.pairs
    ]
    # Two CRLF after the last boundary, as captured (section 4.3): strict parsers fail on them.
    return f"{''.join(parts)}--{boundary}--\r\n\r\n".encode()


def _nested(delivery: Delivery) -> dict[str, Any]:
    """Returns nested objects for names such as `Legs[0][Status]`, and lists for numbered ones: section 4.2."""
    tree: dict[str, Any] = {}
    for name, text in delivery.pairs:
        *path, leaf = re.findall(r"[^\[\]]+", name)
        node = tree
        for key in path:
            node = node.setdefault(key, {})
        node[leaf] = text
    return {name: _as_list(value) for name, value in tree.items()}


def _as_list(value: Any) -> Any:
    return list(value.values()) if isinstance(value, dict) and "0" in value else value
