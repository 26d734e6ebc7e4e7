"""Tests the upload of CDR exports over real connections, with and without nginx. Imports nothing of calyapp."""

import json

import pytest
from running_server import webhook

PATH = "/api/calls/import"
TEN_MIB = 10 * 1024 * 1024
LIMITS = {"RATELIMIT_UPLOAD": "1000/hour", "WEB_CONCURRENCY": "1"}
HEADER = "CallSid,DateCreated,From,To,Direction,Status,StartTime,EndTime,Duration,ConversationDuration,Leg2Status\n"
ROW = (
    "{sid},2026-11-01 10:00:00,09876543210,08047110001,inbound,completed,"
    "2026-11-01 10:00:00,2026-11-01 10:01:00,60,45,completed\n"
)
HEALED = ("completed", "answered", 45, "2026-11-01 04:30:00+00")
ENTRIES = "SELECT event_type, metadata->>'callSid' FROM audit_logs WHERE metadata->>'callSid' LIKE 'h%%' ORDER BY 1, 2"
CALL = "SELECT status, outcome, duration_seconds, start_ts::text FROM calls WHERE client_id = %s AND call_sid = %s"


@pytest.fixture(scope="module", params=["nothing", "nginx"])
def front(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def house(module_serve, tenant):
    """A server with two clients, and an API key of the first."""
    server = module_serve(**LIMITS)
    ours, theirs = (tenant(server, number) for number in ("+918047110001", "+918047110002"))
    key = server.cli("keys", "create", "--name", "Importer", "--role", "client", "--client", ours["id"])["key"]
    return server, ours, theirs, key


@pytest.fixture
def upload(house):
    """`upload(content)` returns the status and the JSON of the answer."""
    server, _, _, key = house

    def post(content: bytes) -> tuple[int, dict]:
        connection = server.connect()
        connection.request("POST", PATH, content, {"Authorization": f"Bearer {key}", "Content-Type": "text/csv"})
        answer = connection.getresponse()
        status, body = answer.status, json.loads(answer.read())
        connection.close()
        return status, body

    return post


class TestImport:
    def test_completes_calls_without_an_end_and_is_idempotent(self, house, upload, module_query):
        server, ours, _, _ = house
        assert server.ask("POST", webhook(ours, "call-start"), {"CallSid": "h1", "From": "1", "To": "2"})[0] == 200
        file = (HEADER + ROW.format(sid="h1") + ROW.format(sid="h2")).encode()

        first, second = upload(file), upload(file)

        assert first[1]["summary"] == {"new": 2, "repeat": 0, "rejected": 0, "notTried": 0, "complete": True}
        assert second[1]["summary"] == {"new": 0, "repeat": 2, "rejected": 0, "notTried": 0, "complete": True}
        assert [module_query(CALL, ours["id"], sid) for sid in ("h1", "h2")] == [[HEALED], [HEALED]]
        assert module_query(ENTRIES) == [("CALL_IMPORTED", "h1"), ("CALL_IMPORTED", "h2"), ("CALL_STARTED", "h1")]

    def test_changes_no_call_of_another_client(self, house, upload, module_query):
        server, ours, theirs, _ = house
        start = {"CallSid": "f1", "From": "09876543210", "To": "08047110002"}
        assert server.ask("POST", webhook(theirs, "call-start"), start)[0] == 200
        before = module_query("SELECT c::text FROM calls c WHERE client_id = %s", theirs["id"])

        assert upload((HEADER + ROW.format(sid="f1")).encode())[1]["summary"]["new"] == 1

        assert module_query("SELECT c::text FROM calls c WHERE client_id = %s", theirs["id"]) == before
        assert module_query(CALL, ours["id"], "f1") == [HEALED]

    def test_keeps_a_formula_in_a_cell_as_text(self, house, upload):
        server, ours, _, key = house
        formula = '=HYPERLINK("http://x")'
        quoted = formula.replace('"', '""')

        assert upload(f'CallSid,To,Status\ne1,"{quoted}","{quoted}"\n'.encode())[0] == 200

        connection = server.connect()
        connection.request("GET", "/api/calls/e1", headers={"Authorization": f"Bearer {key}"})
        call = json.loads(connection.getresponse().read())
        connection.close()
        assert (call["status"], call["clientId"]) == ("initiated", ours["id"])
        assert call["timeline"][0]["parameters"] == {"CallSid": "e1", "To": formula, "Status": formula}


class TestSize:
    @pytest.fixture
    def largest(self) -> bytes:
        """A file of exactly ten mebibytes: calls with padded last cells, and an invalid last row."""
        rows = "".join(ROW.format(sid=f"big{n}").replace("\n", "x" * 20_700 + "\n") for n in range(500))
        return (HEADER + rows).encode().ljust(TEN_MIB - 1, b"x") + b"\n"

    def test_may_be_at_most_ten_mebibytes(self, upload, largest, module_query):
        too_large, fitting = upload(largest + b"\n"), upload(largest)

        assert (too_large[0], too_large[1]["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert (fitting[0], fitting[1]["summary"]["new"], fitting[1]["summary"]["rejected"]) == (200, 500, 1)
        assert module_query("SELECT count(*) FROM calls WHERE call_sid LIKE 'big%%'") == [(500,)]
