"""Holds what was acknowledged against what the database has: an auditor who kept a copy of every delivery.

Knows the tables that people query directly and what is promised of them, and nothing of how they are filled.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from traffic import Attempt, Delivery

Query = Callable[..., list[tuple]]

_TYPES = {
    "call-start": "CALL_STARTED",
    "call-status": "CALL_STATUS_CHANGED",
    "call-end": "CALL_ENDED",
    "recording": "RECORDING_RECEIVED",
    "passthru": "DELIVERY_RECEIVED",
    "heartbeat": "HEARTBEAT_RECEIVED",
}
_OPEN = ("initiated", "ringing", "in-progress")
_OUTCOMES = {
    "completed": "answered",
    "busy": "rejected",
    "no-answer": "missed",
    "failed": "failed",
    "canceled": "abandoned",
}

_LEDGER = """
SELECT client_id::text, payload ->> 'CustomField', route, payload, call_id::text, encode(digest, 'hex') FROM deliveries
"""
_TRAIL = """
SELECT client_id::text, metadata ->> 'digest', event_type, call_id::text FROM audit_logs WHERE metadata ? 'digest'
"""
_CALLS = "SELECT client_id::text, call_sid, id::text, status, outcome FROM calls"


@dataclass(frozen=True, slots=True)
class Discrepancies:
    """A sentence for each fault. Without any, `faults` is empty."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.wrong]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A row of the ledger."""

    route: str
    payload: dict
    call_id: str | None
    digest: str


class Reconciliation:
    """The database as it stands now, against what was sent and what was acknowledged."""

    def __init__(self, query: Query, attempts: Iterable[Attempt], stream_base_url: str) -> None:
        self._attempts = list(attempts)
        self._sent = {attempt.delivery for attempt in self._attempts}
        self._acknowledged = {attempt.delivery for attempt in self._attempts if attempt.acknowledged}
        self._stream_base_url = stream_base_url
        self._ledger: dict[tuple[str, str], list[_Kept]] = defaultdict(list)
        self._trail: dict[tuple[str, str], list[tuple[str, str | None]]] = defaultdict(list)
        for client_id, marker, *kept in query(_LEDGER):
            self._ledger[client_id, marker].append(_Kept(*kept))
        for client_id, digest, *entry in query(_TRAIL):
            self._trail[client_id, digest].append(tuple(entry))
        self._calls = {(client_id, sid): tuple(row) for client_id, sid, *row in query(_CALLS)}
        self._discrepancies = Discrepancies()

    def discrepancies(self) -> Discrepancies:
        """Everything that is lost, doubled or wrong. To be asked once."""
        for delivery in self._sent:
            self._check_delivery(delivery)
        self._check_calls()
        self._check_streams()
        self._check_strangers()
        return self._discrepancies

    def _check_delivery(self, delivery: Delivery) -> None:
        """Once in the ledger and once in the trail; if it was not acknowledged, it may be in neither."""
        rows = self._ledger[delivery.client_id, delivery.marker]
        if not rows and delivery in self._acknowledged:
            self._discrepancies.lost.append(f"{delivery.marker}: {delivery.route} is not in the ledger")
        if len(rows) > 1:
            self._discrepancies.doubled.append(f"{delivery.marker}: {len(rows)} rows in the ledger")
        for row in rows:
            self._check_row(delivery, row)
            self._check_entry(delivery, row)

    def _check_row(self, delivery: Delivery, row: _Kept) -> None:
        if (row.route, row.payload) != (delivery.route, delivery.fields):
            self._wrong(delivery, f"{delivery.route} {delivery.fields} is kept as {row.route} {row.payload}")
        if row.call_id != self._call_id(delivery):
            self._wrong(delivery, f"the ledger has call {row.call_id} and not {self._call_id(delivery)}")

    def _check_entry(self, delivery: Delivery, row: _Kept) -> None:
        entries = self._trail[delivery.client_id, row.digest]
        if not entries:
            self._discrepancies.lost.append(f"{delivery.marker}: {delivery.route} is not in the audit trail")
        if len(entries) > 1:
            self._discrepancies.doubled.append(f"{delivery.marker}: {len(entries)} audit entries")
        expected = (_event_type(delivery), self._call_id(delivery))
        for entry in entries:
            if entry != expected:
                self._wrong(delivery, f"the audit entry says {entry} and not {expected}")

    def _check_calls(self) -> None:
        """The status of each call that nothing is uncertain about."""
        told: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
        for delivery in self._sent:
            if "CallSid" in delivery.fields:
                told[delivery.client_id, delivery.fields["CallSid"]].append(delivery)
        for call, news in told.items():
            if self._acknowledged.issuperset(news):
                known, expected = self._calls.get(call, ())[1:], _status(news)
                if known != expected:
                    self._discrepancies.wrong.append(f"call {call[1]} is {known} and not {expected}")

    def _check_streams(self) -> None:
        """Each stream's address, against the call that the database has."""
        for attempt in self._attempts:
            if attempt.delivery.route == "call-start" and attempt.acknowledged:
                url = attempt.body.get("url", "")
                in_response = attempt.body.get("Response", {}).get("Stream", {}).get("_attributes", {}).get("url")
                call_ids = parse_qs(urlsplit(url).query).get("callId")
                here = url.startswith(f"{self._stream_base_url}/audio?") and url == in_response
                if not here or call_ids != [self._call_id(attempt.delivery)]:
                    self._wrong(attempt.delivery, f"its stream is {url} and {in_response}")

    def _check_strangers(self) -> None:
        """Rows of what was never sent."""
        sent = {(delivery.client_id, delivery.marker) for delivery in self._sent}
        digests = {(client_id, row.digest) for (client_id, _), rows in self._ledger.items() for row in rows}
        sids = {(delivery.client_id, delivery.fields.get("CallSid")) for delivery in self._sent}
        for name, found, known in (
            ("delivery", [key for key, rows in self._ledger.items() if rows], sent),
            ("audit entry", [key for key, entries in self._trail.items() if entries], digests),
            ("call", self._calls, sids),
        ):
            self._discrepancies.wrong.extend(f"{name} {key} was never sent" for key in found if key not in known)

    def _call_id(self, delivery: Delivery) -> str | None:
        return self._calls.get((delivery.client_id, delivery.fields.get("CallSid", "")), (None,))[0]

    def _wrong(self, delivery: Delivery, what: str) -> None:
        self._discrepancies.wrong.append(f"{delivery.marker}: {what}")


def _event_type(delivery: Delivery) -> str:
    ends = delivery.route == "call-status" and delivery.fields["CallStatus"] in _OUTCOMES
    return _TYPES["call-end" if ends else delivery.route]


def _status(news: Iterable[Delivery]) -> tuple[str, str | None]:
    """Status and outcome of a call of which this is all the news, in whatever order."""
    words = {delivery.fields.get("CallStatus", "initiated") for delivery in news}
    ending = next((word for word in _OUTCOMES if word in words), None)
    return (ending, _OUTCOMES[ending]) if ending else (max(words, key=_OPEN.index), None)
