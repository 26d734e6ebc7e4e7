"""A delivery → the HTTP request that Exotel makes of it, byte for byte as it was captured. Sends nothing."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from calyapp.simulation.flows import JSON, Delivery


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire, apart from the address and the key."""

    query: str
    body: bytes | None
    headers: dict[str, str]


def request(delivery: Delivery) -> Request:
    """The delivery in the encoding that its content type names."""
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
    # Two line ends after the last boundary: so it was captured, and a strict parser stumbles over it.
    return f"{''.join(parts)}--{boundary}--\r\n\r\n".encode()


def _nested(delivery: Delivery) -> dict[str, Any]:
    """`Legs[0][Status]` as Exotel's JSON has it: objects, numbered ones as a list."""
    tree: dict[str, Any] = {}
    for name, text in delivery.pairs:
        *folders, leaf = re.findall(r"[^\[\]]+", name)
        inside = tree
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[leaf] = text
    return {name: _listed(value) for name, value in tree.items()}


def _listed(value: Any) -> Any:
    return list(value.values()) if isinstance(value, dict) and "0" in value else value
