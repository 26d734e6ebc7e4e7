import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

NUMBER = "+918047112345"
CALL_START = {"From": "09876543210", "To": NUMBER}


@pytest.fixture
def two_calls(client, asha):
    """A call that has ended, and a later call that has not."""
    client.post(asha["webhookUrl"], data={"CallSid": "ended", **CALL_START})
    over = asha["webhookUrl"].replace("call-start", "call-end")
    for _ in range(2):
        client.post(over, data={"CallSid": "ended", "CallStatus": "completed", "Note": "\x1b[31mred"})
    client.post(asha["webhookUrl"], data={"CallSid": "open", **CALL_START, "From": "09876543211"})


@pytest.mark.usefixtures("two_calls")
class TestList:
    def test_prints_a_table_with_the_newest_call_first(self, caly):
        result = caly("calls", "list")

        names, newest, ended = (line.split() for line in result.stdout.splitlines())
        assert names[:5] == ["createdAt", "callSid", "client", "from", "to"]
        assert newest[1:6] == ["open", "Asha", "Clinics", "+919876543211", NUMBER]
        assert ended[1] == "ended"

    @pytest.mark.parametrize(
        ("options", "query"),
        [
            ((), ""),
            (("--status", "completed"), "status=completed"),
            (("--direction", "inbound"), "direction=inbound"),
            (("--from", "9876543211", "--to", "08047112345"), "from=%2B919876543211&to=%2B918047112345"),
            (("--call-sid", "open", "--no-recording"), "callSid=open&hasRecording=false"),
            (("--has-recording",), "hasRecording=true"),
            (("--since", "2026-01-01T00:00:00+05:30", "--limit", "1"), "since=2026-01-01T00:00:00%2B05:30&limit=1"),
        ],
    )
    def test_prints_the_api_response_as_json(self, told, api, options, query):
        assert told("calls", "list", *options) == api(f"/api/calls?{query}")

    def test_refuses_an_empty_time_span(self, caly):
        result = caly("calls", "list", "--since", "2026-11-22", "--until", "2026-11-21")

        assert (result.exit_code, result.stdout) == (2, "")
        assert "Error: --until must be later than since." in result.stderr


@pytest.mark.usefixtures("two_calls")
class TestShow:
    def test_prints_the_timeline_and_escapes_control_characters(self, caly):
        result = caly("calls", "show", "ended")

        assert result.exit_code == 0
        assert "status           completed\n" in result.stdout
        assert "  call-end, repeated 1×\n" in result.stdout
        assert r"  Note        \x1b[31mred" in result.stdout
        assert "\x1b" not in result.stdout

    @pytest.mark.parametrize("name", ["id", "callSid"])
    def test_accepts_id_and_callsid_and_prints_the_api_response_as_json(self, told, api, name):
        call = told("calls", "list")["items"][0]

        assert told("calls", "show", call[name]) == api(f"/api/calls/{call['id']}")

    def test_does_not_find_the_call_of_another_client(self, caly, told):
        other = told("clients", "add", "--name", "Other")["id"]

        result = caly("calls", "show", "ended", "--client", other)

        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no call with the id or CallSid 'ended'" in result.stderr

    def test_is_audited(self, caly, asha, query):
        caly("calls", "show", "ended")

        read = query("SELECT client_id::text, resource_id FROM audit_logs WHERE event_type = 'DATA_ACCESSED'")
        assert read == [(asha["id"], "calls show")]


class TestRebuild:
    @pytest.fixture
    def a_call(self, client, asha):
        client.post(asha["webhookUrl"], data={"CallSid": "s1", "From": "09876543210", "To": NUMBER})

    @pytest.mark.usefixtures("a_call")
    def test_prints_none_if_nothing_changes(self, caly):
        result = caly("calls", "rebuild", "--dry-run")

        assert (result.exit_code, result.stdout) == (0, "None.\n")

    @pytest.mark.usefixtures("a_call")
    def test_exits_with_1_if_a_dry_run_finds_a_difference(self, caly, told, query):
        query("UPDATE calls SET status = 'busy', phase = 'over', evidence = 'busy'")

        result = caly("calls", "rebuild", "--dry-run", "--json")

        assert result.exit_code == 1
        (found,) = json.loads(result.stdout)
        assert (found["callSid"], found["changes"][0]) == ("s1", "status: busy → initiated")
        assert caly("calls", "rebuild").exit_code == 0
        assert query("SELECT status FROM calls") == [("initiated",)]


class TestImport:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "cdr.csv"
        path.write_text("CallSid,From,Status\ns1,09876543210,busy\n,,busy\n")
        return path

    def test_reports_rejected_rows(self, caly, asha, file, query):
        result = caly("calls", "import", file, "--client", asha["id"])

        assert result.exit_code == 1
        assert "CallSid must be" in result.stdout
        assert "notTried  0" in result.stdout
        assert query("SELECT call_sid, status FROM calls") == [("s1", "busy")]

    def test_prints_the_api_response_as_json(self, caly, asha, file):
        file.write_text("CallSid,From,Status\ns1,09876543210,busy\n")

        result = caly("calls", "import", file, "--client", asha["id"], "--json")

        assert result.exit_code == 0
        assert json.loads(result.stdout) == {
            "rows": [{"line": 2, "callSid": "s1", "result": "new"}],
            "summary": {"new": 1, "repeat": 0, "rejected": 0, "notTried": 0, "complete": True},
        }

    def test_reads_a_named_pipe(self, caly, asha, tmp_path, query):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(pipe.write_text, "CallSid,Status\ns1,busy\n")

            result = caly("calls", "import", pipe, "--client", asha["id"])

        assert (result.exit_code, bool(written.result())) == (0, True)
        assert query("SELECT call_sid, status FROM calls") == [("s1", "busy")]

    def test_reads_standard_input(self, caly, asha, query):
        result = caly("calls", "import", "-", "--client", asha["id"], stdin="CallSid,Status\ns1,busy\n")

        assert result.exit_code == 0
        assert query("SELECT call_sid, status FROM calls") == [("s1", "busy")]

    def test_exits_with_1_and_a_message_for_an_invalid_file(self, caly, asha, file):
        file.write_text("From\n1\n")

        result = caly("calls", "import", file, "--client", asha["id"])

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: Nothing was imported. Header has no column CallSid.\n"
