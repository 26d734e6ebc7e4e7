import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

NUMBER = "+918047112345"


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

    def test_of_a_file_that_is_none_ends_with_1_and_a_sentence(self, caly, asha, file):
        file.write_text("From\n1\n")

        result = caly("calls", "import", file, "--client", asha["id"])

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: Nothing was imported. Header lacks the column CallSid.\n"
