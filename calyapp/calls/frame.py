"""Encodes a `CallEvent` as bytes for the spool, and decodes it: JSON, compressed with deflate.

Compression keeps even the largest delivery, with every character escaped in JSON, below the maximum size of a frame.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from calyapp.calls.event import Arrival, CallEvent, Route
from calyapp.calls.state import SOURCED, CallView, Direction, Evidence, Phase, Source, Sourced

VERSION = 1
_ENCODING = ("utf-8", "surrogatepass")  # lone surrogates too: a sender may include them

_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "direction": Direction,
    "start_ts": datetime.fromisoformat,
    "end_ts": datetime.fromisoformat,
}
"""How the values of a view are decoded that JSON has no type for. The others are texts and integers."""


class UnreadableFrameError(ValueError):
    """The bytes are not an event, or have a version that this code does not know."""


def dump(event: CallEvent) -> bytes:
    """Returns the event as bytes, with the version of their layout."""
    arrival = asdict(event.arrival) | {"at": event.arrival.at.isoformat(), "audit_id": str(event.arrival.audit_id)}
    fields = {
        "version": VERSION,
        "route": event.route.value,
        "parameters": list(event.parameters),
        "digest": event.digest.hex(),
        "arrival": arrival,
        "client_id": str(event.client_id) if event.client_id else None,
        "key_version": event.key_version,
        "call_sid": event.call_sid,
        "dialled": event.dialled,
        "view": _dump_view(event.view),
    }
    return zlib.compress(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode(*_ENCODING), level=1)


def load(frame: bytes) -> CallEvent:
    """Returns the event that was dumped. Raises `UnreadableFrameError`."""
    try:
        fields = json.loads(zlib.decompress(frame).decode(*_ENCODING))
        if fields["version"] != VERSION:
            raise UnreadableFrameError(f"unknown version {fields['version']}")
        return _load(fields)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise UnreadableFrameError(f"not an event: {type(error).__name__}") from error


def _load(fields: Mapping[str, Any]) -> CallEvent:
    arrival = fields["arrival"]
    moments = {"at": datetime.fromisoformat(arrival["at"]), "audit_id": UUID(arrival["audit_id"])}
    return CallEvent(
        route=Route(fields["route"]),
        parameters=[(name, text) for name, text in fields["parameters"]],
        digest=bytes.fromhex(fields["digest"]),
        arrival=Arrival(**arrival | moments),
        client_id=UUID(fields["client_id"]) if fields["client_id"] else None,
        key_version=fields["key_version"],
        call_sid=fields["call_sid"],
        dialled=fields["dialled"],
        view=_load_view(fields["view"]),
    )


def _dump_view(view: CallView) -> dict[str, Any]:
    values = {name: value for name in SOURCED if (value := getattr(view, name))}
    sourced = {name: [value.source.value, _dump_value(value.value)] for name, value in values.items()}
    return {"phase": view.phase.value, "evidence": view.evidence.value, "sourced": sourced}


def _dump_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _load_view(fields: Mapping[str, Any]) -> CallView:
    sourced = {
        name: Sourced(Source(source), _DECODERS.get(name, _unchanged)(value))
        for name, (source, value) in fields["sourced"].items()
    }
    return CallView(phase=Phase(fields["phase"]), evidence=Evidence(fields["evidence"]), **sourced)


def _unchanged(value: Any) -> Any:
    return value
