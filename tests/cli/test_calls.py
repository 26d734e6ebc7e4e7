import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

NUMBER = "+918047112345"
CALL_START = {"From": "09876543210", "To": NUMBER}


@pytest.fixture
def two_calls(client, asha):
    """One that has ended, and a later one that has not."""
    client.post(asha["webhookUrl"], data={"CallSid": "ended", **CALL_START})
    over = asha["webhookUrl"].replace("call-start", "call-end")
    for _ in range(2):
        client.post(over, data={"CallSid": "ended", "CallStatus": "completed", "Note": "\x1b[31mred"})
    client.post(asha["webhookUrl"], data={"CallSid": "open", **CALL_START, "From": "09876543211"})


@pytest.mark.usefixtures("two_calls")
class TestList:
    def test_is_a_table_of_the_newest_first(self, caly):
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
    def test_shows_scripts_what_the_api_shows(self, told, api, options, query):
        assert told("calls", "list", *options) == api(f"/api/calls?{query}")

    def test_refuses_an_empty_span(self, caly):
        result = caly("calls", "list", "--since", "2026-11-22", "--until", "2026-11-21")

        assert (result.exit_code, result.stdout) == (2, "")
        assert "Error: --until must be later than since." in result.stderr


@pytest.mark.usefixtures("two_calls")
class TestShow:
    def test_tells_the_timeline_and_lets_no_delivery_steer_the_terminal(self, caly):
        result = caly("calls", "show", "ended")

        assert result.exit_code == 0
        assert "status           completed\n" in result.stdout
        assert "  call-end, repeated 1×\n" in result.stdout
        assert r"  Note        \x1b[31mred" in result.stdout
        assert "\x1b" not in result.stdout

    @pytest.mark.parametrize("name", ["id", "callSid"])
    def test_finds_it_by_id_and_by_callsid_and_shows_scripts_what_the_api_shows(self, told, api, name):
        call = told("calls", "list")["items"][0]

        assert told("calls", "show", call[name]) == api(f"/api/calls/{call['id']}")

    def test_of_a_client_shows_none_of_another(self, caly, told):
        other = told("clients", "add", "--name", "Other")["id"]

        result = caly("calls", "show", "ended", "--client", other)

        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no call with the id or CallSid 'ended'" in result.stderr

    def test_is_on_the_trail(self, caly, asha, query):
        caly("calls", "show", "ended")

        read = query("SELECT client_id::text, resource_id FROM audit_logs WHERE event_type = 'DATA_ACCESSED'")
        assert read == [(asha["id"], "calls show")]


class TestRebuild:
    @pytest.fixture
    def a_call(self, client, asha):
        client.post(asha["webhookUrl"], data={"CallSid": "s1", "From": "09876543210", "To": NUMBER})

    @pytest.mark.usefixtures("a_call")
    def test_says_that_there_is_nothing_to_change(self, caly):
        result = caly("calls", "rebuild", "--dry-run")

        assert (result.exit_code, result.stdout) == (0, "None.\n")

    @pytest.mark.usefixtures("a_call")
    def test_ends_with_1_where_a_dry_run_finds_a_difference(self, caly, told, query):
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

    def test_reports_what_was_rejected(self, caly, asha, file, query):
        result = caly("calls", "import", file, "--client", asha["id"])

        assert result.exit_code == 1
        assert "CallSid must be" in result.stdout
        assert "notTried  0" in result.stdout
        assert query("SELECT call_sid, status FROM calls") == [("s1", "busy")]

    def test_tells_scripts_what_the_api_does(self, caly, asha, file):
        file.write_text("CallSid,From,Status\ns1,09876543210,busy\n")

        result = caly("calls", "import", file, "--client", asha["id"], "--json")

        assert result.exit_code == 0
        assert json.loads(result.stdout) == {
            "rows": [{"line": 2, "callSid": "s1", "result": "new"}],
            "summary": {"new": 1, "repeat": 0, "rejected": 0, "notTried": 0, "complete": True},
        }

    def test_takes_what_comes_through_a_pipe(self, caly, asha, tmp_path, query):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(pipe.write_text, "CallSid,Status\ns1,busy\n")

            result = caly("calls", "import", pipe, "--client", asha["id"])

        assert (result.exit_code, bool(written.result())) == (0, True)
        assert query("SELECT call_sid, status FROM calls") == [("s1", "busy")]

    def test_takes_standard_input(self, caly, asha, query):
        result = caly("calls", "import", "-", "--client", asha["id"], stdin="CallSid,Status\ns1,busy\n")

        assert result.exit_code == 0
        assert query("SELECT call_sid, status FROM calls") == [("s1", "busy")]

    def test_of_a_file_that_is_none_ends_with_1_and_a_sentence(self, caly, asha, file):
        file.write_text("From\n1\n")

        result = caly("calls", "import", file, "--client", asha["id"])

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: Nothing was imported. Header has no column CallSid.\n"
