import json

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
