"""Sends calls during a fault, and checks that every delivery is recorded once after the fault ends.

Uses the service as operators do: over HTTP, by commands, by the log and by SQL.
"""

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from reconciliation import Query, Reconciliation
from running_server import Server, eventually
from traffic import ENCODINGS, Attempt, Delivery, heartbeat, send, whole_call

STREAM_BASE_URL = "ws://localhost:9000"  # the default, outside of production
_MAX_THREADS = 8

_COUNT_ENTRIES = "SELECT count(*) FROM audit_logs WHERE event_type = %s"
_REPLAYED = """
SELECT coalesce(sum((metadata ->> 'replayed')::int), 0) FROM audit_logs WHERE event_type = 'SPOOL_REPLAYED'
"""


class Rehearsal:
    """Keeps every attempt. `query` runs SQL in the database that must hold all deliveries at the end."""

    def __init__(self, server: Server, tenant: dict, query: Query) -> None:
        self.server = server
        self.tenant = tenant
        self.query = query
        self.attempts: list[Attempt] = []

    def move_to(self, server: Server) -> None:
        """Sends all further deliveries to this server, and reads counters from it."""
        self.server = server

    def deliver(self, calls: int = 2) -> list[Attempt]:
        """Sends complete calls with a heartbeat each, on all six routes, concurrently."""
        return self.send(itertools.chain.from_iterable(_call(self.tenant) for _ in range(calls)))

    def send(self, deliveries: Iterable[Delivery], encodings: Iterable[str] = ENCODINGS) -> list[Attempt]:
        """Sends each delivery once, concurrently, on a connection of its own."""
        with ThreadPoolExecutor(_MAX_THREADS) as senders:
            attempts = list(senders.map(self._send, deliveries, itertools.cycle(encodings)))
        self.attempts += attempts
        return attempts

    def spooled(self) -> int:
        """The number of deliveries that all workers have spooled since the server started."""
        counts = self.server.ask("GET", "/health/metrics")[1]["deliveries"].values()
        return sum(count.get("spooled", 0) + count.get("deferred", 0) for count in counts)

    def count_entries(self, event_type: str) -> int:
        """The number of audit entries of this type."""
        return self.query(_COUNT_ENTRIES, event_type)[0][0]

    def replayed(self) -> int:
        """The number of replayed deliveries according to the audit log."""
        return self.query(_REPLAYED)[0][0]

    def await_drained(self) -> None:
        """Waits until the spool is empty. Fails if a delivery is quarantined, because `spool status` then fails."""
        eventually(lambda: self.server.cli("spool", "status")["depth"] == 0, 90)

    def check_recovery(self, spooled: int | None = None) -> None:
        """Checks that the service recovers, with each delivery recorded once and the degraded modes audited.

        `spooled` is the number of spooled deliveries, for a fault in which the server's counter misses some.
        """
        self.await_drained()
        assert self.faults() == []
        expected = self.spooled() if spooled is None else spooled
        eventually(lambda: self.replayed() >= expected, 15)
        assert self.replayed() == expected
        eventually(lambda: self.count_entries("DEGRADED_MODE_ENTERED") == self.count_entries("DEGRADED_MODE_LEFT"), 15)
        eventually(lambda: self.server.readiness() == (200, "healthy"), 15)

    def faults(self) -> list[str]:
        """Returns what is lost, duplicated or wrong in the database."""
        return Reconciliation(self.query, self.attempts, STREAM_BASE_URL).discrepancies().all

    def _send(self, delivery: Delivery, encoding: str) -> Attempt:
        connection = self.server.connect()
        try:
            return send(connection, delivery, encoding)
        finally:
            connection.close()


def statuses(attempts: Iterable[Attempt]) -> set[int | None]:
    """Returns the distinct statuses of the answers."""
    return {attempt.status for attempt in attempts}


def _call(tenant: dict) -> Iterator[Delivery]:
    sid = uuid4().hex
    yield from whole_call(tenant, sid, "completed")
    yield heartbeat(tenant, f"heartbeat-{sid}")
