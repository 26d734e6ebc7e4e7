"""A few calls from Exotel in the middle of a fault, and whether every word of them is on record when it is mended.

Sees the service as operators do: over HTTP, on the command line, in the log, in the tables that people query.
"""

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from reconciliation import Query, Reconciliation
from running_server import Server, eventually
from traffic import ENCODINGS, Attempt, Delivery, heartbeat, send, whole_call

STREAM_BASE_URL = "ws://localhost:9000"  # the default, outside of production
_AT_ONCE = 8

_TOLD = "SELECT count(*) FROM audit_logs WHERE event_type = %s"
_REPLAYED = """
SELECT coalesce(sum((metadata ->> 'replayed')::int), 0) FROM audit_logs WHERE event_type = 'SPOOL_REPLAYED'
"""


class Rehearsal:
    """Remembers every attempt. `query` asks the database that everything has to be in at the end."""

    def __init__(self, server: Server, tenant: dict, query: Query) -> None:
        self.server = server
        self.tenant = tenant
        self.query = query
        self.attempts: list[Attempt] = []

    def move_to(self, server: Server) -> None:
        """From now on Exotel reaches this one. Its forerunner counts no more."""
        self.server = server

    def deliver(self, calls: int = 2) -> list[Attempt]:
        """Calls from beginning to end and a heartbeat each, on all six routes and all at once."""
        return self.send(itertools.chain.from_iterable(_call(self.tenant) for _ in range(calls)))

    def send(self, deliveries: Iterable[Delivery], encodings: Iterable[str] = ENCODINGS) -> list[Attempt]:
        """Each once, on a connection of its own; none waits for another."""
        with ThreadPoolExecutor(_AT_ONCE) as senders:
            attempts = list(senders.map(self._send, deliveries, itertools.cycle(encodings)))
        self.attempts += attempts
        return attempts

    def spooled(self) -> int:
        """How many deliveries the server has put on its spool since its start, over all workers."""
        counted = self.server.ask("GET", "/health/metrics")[1]["deliveries"].values()
        return sum(of_route.get("spooled", 0) + of_route.get("deferred", 0) for of_route in counted)

    def told(self, event_type: str) -> int:
        """How many entries of this type the audit trail has."""
        return self.query(_TOLD, event_type)[0][0]

    def replayed(self) -> int:
        """How many deliveries the audit trail says were replayed."""
        return self.query(_REPLAYED)[0][0]

    def await_drained(self) -> None:
        """Wait until nothing is on the spool; fails if anything is in quarantine."""
        eventually(lambda: self.server.cli("spool", "status")["depth"] == 0, 90)

    def check_recovery(self, spooled: int | None = None) -> None:
        """Fails unless the service comes to itself, with each delivery once on record and the trail told of it all.

        `spooled` is how many were on the spool, where its counter did not see them all.
        """
        self.await_drained()
        assert self.faults() == []
        expected = self.spooled() if spooled is None else spooled
        eventually(lambda: self.replayed() >= expected, 15)
        assert self.replayed() == expected
        eventually(lambda: self.told("DEGRADED_MODE_ENTERED") == self.told("DEGRADED_MODE_LEFT"), 15)
        eventually(lambda: self.server.readiness() == (200, "healthy"), 15)

    def faults(self) -> list[str]:
        """What is lost, doubled or wrong in the database."""
        return Reconciliation(self.query, self.attempts, STREAM_BASE_URL).discrepancies().all

    def _send(self, delivery: Delivery, encoding: str) -> Attempt:
        connection = self.server.connect()
        try:
            return send(connection, delivery, encoding)
        finally:
            connection.close()


def statuses(attempts: Iterable[Attempt]) -> set[int | None]:
    """Which HTTP statuses were answered."""
    return {attempt.status for attempt in attempts}


def _call(tenant: dict) -> Iterator[Delivery]:
    sid = uuid4().hex
    yield from whole_call(tenant, sid, "completed")
    yield heartbeat(tenant, f"heartbeat-{sid}")
