"""One delivery in canonical form: what arrived, for which call, and what it says. Knows no dialect and no HTTP."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from calyapp.calls.state import CallView

_CALL_ID_NAMESPACE = UUID("5b0c4c2e-9f0e-5c57-8b2c-7f2f0a6c9d11")

_UNSTORABLE = re.compile("[\\0\ud800-\udfff]")

Pairs = Sequence[tuple[str, str]]
"""The parameters of a delivery: names and texts. If a name is repeated, its first text counts."""


class Route(StrEnum):
    """How a delivery came in: the last part of the path `/webhooks/exotel/…`, or `cdr` for a row of a CDR export."""

    CALL_START = "call-start"
    CALL_STATUS = "call-status"
    CALL_END = "call-end"
    RECORDING = "recording"
    PASSTHRU = "passthru"
    HEARTBEAT = "heartbeat"
    CDR = "cdr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """When, from where and with which request a delivery arrived, and the id of its audit entry."""

    at: datetime
    audit_id: UUID
    request_id: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """One delivery. `client_id` is None until the dialled number or the CallSid is resolved to a client.

    `key_version` is set only if the webhook key was genuine, but the directory could not say whether its version was
    retired. The replay decides that.
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
        """Returns the id of the call, or None without a CallSid. Computed alike for every delivery of a call."""
        return uuid5(_CALL_ID_NAMESPACE, f"{client_id}{self.call_sid}") if self.call_sid else None


def digest(route: Route, parameters: Pairs) -> bytes:
    """Returns the SHA-256 (32 bytes) over route, names and texts. Deliveries with the same digest are repeats.

    Exotel sends no id of a delivery, and its retries are identical: docs/exotel-protocol.md, section 9. The digest does
    not depend on the encoding of the request or on the order of names. It does depend on the order of texts under one
    name, because the first of them counts.
    """
    by_name = sorted(parameters, key=lambda pair: pair[0])
    canonical = json.dumps([route.value, by_name], separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).digest()


def payload(parameters: Pairs) -> dict[str, str | list[str]]:
    """Returns the parameters as the ledger stores them: for each name a text, or a list of texts if it was repeated.

    PostgreSQL cannot store NUL and lone surrogates as text. Each is written as six characters, for example `\\u0000`.
    """
    texts_by_name: dict[str, list[str]] = {}
    for name, text in parameters:
        texts_by_name.setdefault(_UNSTORABLE.sub(_escape, name), []).append(_UNSTORABLE.sub(_escape, text))
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in texts_by_name.items()}


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
