"""One delivery in canonical form: what arrived, about which call, what it says. Knows no dialect and no HTTP."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from calyapp.calls.state import CallView

_CALLS = UUID("5b0c4c2e-9f0e-5c57-8b2c-7f2f0a6c9d11")

_UNSTORABLE = re.compile("[\\0\ud800-\udfff]")

Pairs = Sequence[tuple[str, str]]
"""A delivery's parameters: names and texts, the ones that count first where a name comes twice."""


class Route(StrEnum):
    """By which way a delivery came in: the word after `/webhooks/exotel/`, or as a row of a CDR export."""

    CALL_START = "call-start"
    CALL_STATUS = "call-status"
    CALL_END = "call-end"
    RECORDING = "recording"
    PASSTHRU = "passthru"
    HEARTBEAT = "heartbeat"
    CDR = "cdr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """When, from where and as which request a delivery arrived, and the id of its audit entry."""

    at: datetime
    audit_id: UUID
    request_id: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """One delivery. `client_id` is None as long as only its numbers can tell whose it is.

    `key_version` is that of a genuine webhook key which nobody could say is still valid when the delivery came.
    """

    route: Route
    parameters: Pairs
    digest: bytes
    arrival: Arrival
    client_id: UUID | None
    call_sid: str | None
    view: CallView
    dialled: str | None = None
    key_version: int | None = None

    def call_id(self, client_id: UUID) -> UUID | None:
        """The id of the call it speaks of: the same for every delivery, without asking the database."""
        return uuid5(_CALLS, f"{client_id}{self.call_sid}") if self.call_sid else None


def digest(route: Route, parameters: Pairs) -> bytes:
    """What makes two deliveries the same: route, names and texts, whatever the encoding (32 bytes).

    The order of names says nothing. The order of texts under one name does: the first of them counts.
    """
    by_name = sorted(parameters, key=lambda pair: pair[0])
    canonical = json.dumps([route.value, by_name], separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).digest()


def payload(parameters: Pairs) -> dict[str, str | list[str]]:
    """The parameters as the ledger keeps them: a text for each name, or a list of texts where it came repeatedly.

    NUL and halves of surrogate pairs, which PostgreSQL cannot hold as text, are spelt out: six characters, `\\u0000`.
    """
    gathered: dict[str, list[str]] = {}
    for name, text in parameters:
        gathered.setdefault(_UNSTORABLE.sub(_spelt_out, name), []).append(_UNSTORABLE.sub(_spelt_out, text))
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in gathered.items()}


def _spelt_out(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
