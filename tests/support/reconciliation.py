"""Compares the deliveries that were acknowledged with the records in the database.

Knows the tables that users query directly, and what is promised about them. Imports nothing of calyapp.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from traffic import Attempt, Delivery

Query = Callable[..., list[tuple]]

_EVENT_TYPES = {
    "call-start": "CALL_STARTED",
    "call-status": "CALL_STATUS_CHANGED",
    "call-end": "CALL_ENDED",
    "recording": "RECORDING_RECEIVED",
    "passthru": "DELIVERY_RECEIVED",
    "heartbeat": "HEARTBEAT_RECEIVED",
}
_OPEN_STATUSES = ("initiated", "ringing", "in-progress")
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
_AUDIT_ENTRIES = """
SELECT client_id::text, metadata ->> 'digest', event_type, call_id::text FROM audit_logs WHERE metadata ? 'digest'
"""
_CALLS = "SELECT client_id::text, call_sid, id::text, status, outcome FROM calls"


@dataclass(frozen=True, slots=True)
class Discrepancies:
    """The differences, one sentence each. `all` is empty if there is none."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.wrong]


@dataclass(frozen=True, slots=True)
class _LedgerRow:
    """A row of the ledger."""

    route: str
    payload: dict
    call_id: str | None
    digest: str


class Reconciliation:
    """Compares the database as it is now with what was sent and what was acknowledged."""

    def __init__(self, query: Query, attempts: Iterable[Attempt], stream_base_url: str) -> None:
        self._attempts = list(attempts)
        self._sent = {attempt.delivery for attempt in self._attempts}
        self._acknowledged = {attempt.delivery for attempt in self._attempts if attempt.acknowledged}
        self._stream_base_url = stream_base_url
        self._ledger: dict[tuple[str, str], list[_LedgerRow]] = defaultdict(list)
        self._entries: dict[tuple[str, str], list[tuple[str, str | None]]] = defaultdict(list)
        for client_id, marker, *row in query(_LEDGER):
            self._ledger[client_id, marker].append(_LedgerRow(*row))
        for client_id, digest, *entry in query(_AUDIT_ENTRIES):
            self._entries[client_id, digest].append(tuple(entry))
        self._calls = {(client_id, sid): tuple(row) for client_id, sid, *row in query(_CALLS)}
        self._discrepancies = Discrepancies()

    def discrepancies(self) -> Discrepancies:
        """Returns everything that is lost, duplicated or wrong. Call it once."""
        for delivery in self._sent:
            self._check_delivery(delivery)
        self._check_calls()
        self._check_streams()
        self._check_unsent()
        return self._discrepancies

    def _check_delivery(self, delivery: Delivery) -> None:
        """Checks one ledger row and one audit entry. A delivery that was not acknowledged may have neither."""
        rows = self._ledger[delivery.client_id, delivery.marker]
        if not rows and delivery in self._acknowledged:
            self._discrepancies.lost.append(f"{delivery.marker}: {delivery.route} is not in the ledger")
        if len(rows) > 1:
            self._discrepancies.doubled.append(f"{delivery.marker}: {len(rows)} rows in the ledger")
        for row in rows:
            self._check_row(delivery, row)
            self._check_entry(delivery, row)

    def _check_row(self, delivery: Delivery, row: _LedgerRow) -> None:
        if (row.route, row.payload) != (delivery.route, delivery.fields):
            self._add_wrong(delivery, f"{delivery.route} {delivery.fields} is stored as {row.route} {row.payload}")
        if row.call_id != self._call_id(delivery):
            self._add_wrong(delivery, f"the ledger has call {row.call_id} and not {self._call_id(delivery)}")

    def _check_entry(self, delivery: Delivery, row: _LedgerRow) -> None:
        entries = self._entries[delivery.client_id, row.digest]
        if not entries:
            self._discrepancies.lost.append(f"{delivery.marker}: {delivery.route} has no audit entry")
        if len(entries) > 1:
            self._discrepancies.doubled.append(f"{delivery.marker}: {len(entries)} audit entries")
        expected = (_event_type(delivery), self._call_id(delivery))
        for entry in entries:
            if entry != expected:
                self._add_wrong(delivery, f"the audit entry says {entry} and not {expected}")

    def _check_calls(self) -> None:
        """Checks the status of each call whose deliveries were all acknowledged."""
        by_call: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
        for delivery in self._sent:
            if "CallSid" in delivery.fields:
                by_call[delivery.client_id, delivery.fields["CallSid"]].append(delivery)
        for call, deliveries in by_call.items():
            if self._acknowledged.issuperset(deliveries):
                stored, expected = self._calls.get(call, ())[1:], _status_and_outcome(deliveries)
                if stored != expected:
                    self._discrepancies.wrong.append(f"call {call[1]} is {stored} and not {expected}")

    def _check_streams(self) -> None:
        """Checks the URL of each stream against the call in the database."""
        for attempt in self._attempts:
            if attempt.delivery.route == "call-start" and attempt.acknowledged:
                url = attempt.body.get("url", "")
                in_response = attempt.body.get("Response", {}).get("Stream", {}).get("_attributes", {}).get("url")
                call_ids = parse_qs(urlsplit(url).query).get("callId")
                is_ours = url.startswith(f"{self._stream_base_url}/audio?") and url == in_response
                if not is_ours or call_ids != [self._call_id(attempt.delivery)]:
                    self._add_wrong(attempt.delivery, f"its stream is {url} and {in_response}")

    def _check_unsent(self) -> None:
        """Finds records of deliveries that were never sent."""
        sent = {(delivery.client_id, delivery.marker) for delivery in self._sent}
        digests = {(client_id, row.digest) for (client_id, _), rows in self._ledger.items() for row in rows}
        sids = {(delivery.client_id, delivery.fields.get("CallSid")) for delivery in self._sent}
        for name, stored, expected in (
            ("delivery", [key for key, rows in self._ledger.items() if rows], sent),
            ("audit entry", [key for key, entries in self._entries.items() if entries], digests),
            ("call", self._calls, sids),
        ):
            self._discrepancies.wrong.extend(f"{name} {key} was never sent" for key in stored if key not in expected)

    def _call_id(self, delivery: Delivery) -> str | None:
        return self._calls.get((delivery.client_id, delivery.fields.get("CallSid", "")), (None,))[0]

    def _add_wrong(self, delivery: Delivery, difference: str) -> None:
        self._discrepancies.wrong.append(f"{delivery.marker}: {difference}")


def _event_type(delivery: Delivery) -> str:
    ends = delivery.route == "call-status" and delivery.fields["CallStatus"] in _OUTCOMES
    return _EVENT_TYPES["call-end" if ends else delivery.route]


def _status_and_outcome(deliveries: Iterable[Delivery]) -> tuple[str, str | None]:
    """Returns status and outcome of a call with exactly these deliveries, in any order."""
    statuses = {delivery.fields.get("CallStatus", "initiated") for delivery in deliveries}
    final = next((status for status in _OUTCOMES if status in statuses), None)
    return (final, _OUTCOMES[final]) if final else (max(statuses, key=_OPEN_STATUSES.index), None)
