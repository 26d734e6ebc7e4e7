"""Tests that a key cannot change calls of another client, and that a key can be rotated under load."""

import threading
import time
from collections import Counter

import pytest
from running_server import webhook

pytestmark = pytest.mark.parametrize("front", ["nothing", "nginx"])

ROUTES = ("call-start", "call-status", "call-end", "recording", "passthru", "heartbeat")
STARTED = {"CallSid": "s1", "From": "09876543210", "To": "08047112345"}


def test_another_clients_key_changes_no_byte_of_a_clients_rows(serve, tenant, query):
    server = serve()
    asha, other = tenant(server), tenant(server, "+918047112399")
    for route in ROUTES:
        server.ask("POST", webhook(asha, route), STARTED | {"CallStatus": "in-progress"})
    tables = {
        table: f"SELECT {table}::text FROM {table} WHERE client_id = '{asha['id']}' ORDER BY 1"
        for table in ("calls", "deliveries", "audit_logs", "client_numbers")
    }
    before = {table: query(sql) for table, sql in tables.items()}

    statuses = Counter(
        server.ask(method, f"{webhook(other, route)}&n={n}", STARTED | {"CallStatus": word, "n": str(n)})[0]
        for route in ROUTES
        for method in ("GET", "POST")
        for n, word in enumerate(("busy", "completed", "failed"))
    )

    assert statuses == {200: len(ROUTES) * 2 * 3}
    assert {table: query(sql) for table, sql in tables.items()} == before


@pytest.fixture
def deliveries():
    """`deliveries(server, path)` starts to send deliveries. `statuses` counts the answers; `stop()` stops."""
    running: list[Deliveries] = []

    def begin(server, path: str) -> "Deliveries":
        running.append(Deliveries(server, path))
        return running[-1]

    yield begin
    for stream in running:
        stream.stop()


class Deliveries:
    def __init__(self, server, path: str) -> None:
        self.statuses: Counter[int] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, args=(server, path))
        self._thread.start()

    def _send(self, server, path: str) -> None:
        while not self._stopping.is_set():
            sid = f"s{threading.get_ident()}-{sum(self.statuses.values())}"
            self.statuses[server.ask("POST", path, {"CallSid": sid})[0]] += 1

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def test_a_key_is_rotated_and_its_predecessor_retired_under_load_without_a_refusal(serve, tenant, deliveries):
    server = serve("--workers", "3", WEBHOOK_AUTH="required", RATELIMIT_WEBHOOK="100000/minute")
    asha = tenant(server)
    old = [deliveries(server, webhook(asha, "call-end")) for _ in range(2)]

    rotated = server.cli("clients", "rotate-key", asha["id"])
    new = [deliveries(server, webhook(rotated, "call-end")) for _ in range(2)]
    while min(sum(stream.statuses.values()) for stream in old + new) < 60:
        time.sleep(0.05)
    for stream in old + new:
        stream.stop()

    assert {status for stream in old + new for status in stream.statuses} == {200}

    server.cli("clients", "rotate-key", asha["id"], "--retire")
    assert _refused_for_good(server, webhook(asha, "call-end"))
    assert server.ask("POST", webhook(rotated, "call-end"), {"CallSid": "last"})[0] == 200


def _refused_for_good(server, path: str) -> bool:
    """Returns whether every worker refuses the key within five seconds: thirty consecutive refusals."""
    refusals = 0
    for attempt in range(100):
        status, _ = server.ask("POST", path, {"CallSid": f"r{attempt}"})
        refusals = refusals + 1 if status == 401 else 0
        if refusals == 30:
            return True
        time.sleep(0.05)
    return False
