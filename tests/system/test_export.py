"""Tests the audit export over real connections: complete, compressed, broken off and cancelled.

Imports nothing of calyapp.
"""

import csv
import gzip
import io
import json
from http.client import HTTPResponse, IncompleteRead

import pytest
import raw_http
import sample_records
from running_server import Server, eventually

PATH = "/api/audit/export?eventType=DELIVERY_RECEIVED"
CALLS = 8_000  # with four entries each: 32 pages, more than the socket buffers hold
ONE_WORKER = {"RATELIMIT_API": "10000/hour", "WEB_CONCURRENCY": "1"}


@pytest.fixture(scope="module", params=["nothing", "nginx"])
def front(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(module_serve, module_query) -> Server:
    sample_records.fill(module_query, CALLS)
    module_query("ANALYZE audit_logs")
    return module_serve(**ONE_WORKER)


@pytest.fixture(scope="module")
def keys(server) -> list[str]:
    """The API keys of three auditors."""
    return [server.cli("keys", "create", "--name", f"Compliance {n}", "--role", "auditor")["key"] for n in range(3)]


@pytest.fixture(scope="module")
def token(keys) -> str:
    return keys[0]


@pytest.fixture
def fetch(server, token):
    """`fetch(path, encoding)` returns the response and its body."""

    def get(path: str, encoding: str = "identity"):
        connection = server.connect()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Accept-Encoding": encoding})
        answer = connection.getresponse()
        try:
            return answer, answer.read()
        finally:
            connection.close()

    return get


@pytest.fixture
def began(server, token):
    """`began(key)` requests an export, and returns the response before its body is read."""
    connections = []

    def begin(key: str = token) -> HTTPResponse:
        connections.append(server.connect())
        connections[-1].request("GET", PATH, headers={"Authorization": f"Bearer {key}"})
        return connections[-1].getresponse()

    yield begin
    for connection in connections:
        connection.close()


class TestExport:
    def test_has_every_entry_once(self, fetch, module_query):
        answer, body = fetch(PATH)

        ids = [json.loads(line)["id"] for line in body.splitlines()]
        stored = module_query("SELECT id::text FROM audit_logs WHERE event_type = 'DELIVERY_RECEIVED'")
        assert (answer.status, len(ids)) == (200, 4 * CALLS)
        assert set(ids) == {row[0] for row in stored}

    def test_as_compressed_csv_has_the_same_entries(self, fetch):
        answer, packed = fetch(f"{PATH}&format=csv", "gzip")
        lines = fetch(PATH)[1].splitlines()

        rows = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode(), newline=""), strict=True))
        assert answer.headers["Content-Encoding"] == "gzip"
        assert [(row["id"], json.loads(row["metadata"])) for row in rows] == [
            (entry["id"], entry["metadata"]) for entry in map(json.loads, lines)
        ]

    def test_that_breaks_off_is_detectably_incomplete(self, server, began, module_query):
        answer = began()

        # Succeeds only because the server holds no transaction while the reader pauses.
        module_query("ALTER TABLE audit_logs RENAME COLUMN resource TO elsewhere")
        try:
            with pytest.raises(IncompleteRead) as cut:
                answer.read()
        finally:
            module_query("ALTER TABLE audit_logs RENAME COLUMN elsewhere TO resource")

        assert answer.status == 200
        assert len(cut.value.partial) > 0
        assert logged(server, "an export failed: DatabaseError") > 0

    def test_is_refused_over_http_1_0_where_a_break_cannot_be_detected(self, server, token):
        head = f"GET {PATH} HTTP/1.0\r\nHost: caly.example\r\nAuthorization: Bearer {token}\r\n\r\n"

        with raw_http.connect(server.port) as link:
            raw_http.send(link, head.encode())
            answer = raw_http.receive(link)

        assert answer.split()[1] == b"400"
        assert b"HTTP/1.1 or newer" in answer


class TestConcurrentExports:
    def test_are_limited_until_readers_disconnect(self, server, keys, began, fetch):
        running = [began(key) for key in keys[1:]]
        refused, _ = fetch(PATH)
        for answer in running:
            answer.close()

        assert (refused.status, refused.headers["Retry-After"]) == (429, "30")
        eventually(lambda: fetch(PATH)[0].status == 200)
        assert logged(server, "an export: the client disconnected") >= 2


def logged(server: Server, message: str) -> int:
    return sum(line["message"] == message for line in server.log_lines())
