import pytest


@pytest.fixture
def reader(user, tenant):
    return user("client", tenant.id)


class TestList:
    def test_accepts_numbers_in_any_form(self, client, deliver, start, reader):
        deliver("call-start", **start)

        for written in ("09876543210", "+91 98765 43210", "9876543210"):
            (call,) = client.get("/api/calls", headers=reader, query_string={"from": written}).get_json()["items"]
            assert (call["from"], call["to"], call["callSid"]) == ("+919876543210", "+918047112345", "sid-1")

    @pytest.mark.parametrize("offset", ["+16:00", "-23:59", "+23:59"])
    def test_accepts_offsets_that_postgresql_refuses(self, client, deliver, start, reader, offset):
        deliver("call-start", **start)

        answer = client.get("/api/calls", headers=reader, query_string={"since": f"2026-01-01T00:00:00{offset}"})

        assert (answer.status_code, len(answer.get_json()["items"])) == (200, 1)

    @pytest.mark.parametrize("wrong", [{"status": "lost"}, {"direction": "up"}, {"hasRecording": "yes"}, {"from": "x"}])
    def test_refuses_unknown_words(self, client, reader, wrong):
        answer = client.get("/api/calls", headers=reader, query_string=wrong)

        assert (answer.status_code, set(answer.get_json()["error"]["details"])) == (400, set(wrong))


class TestShow:
    def test_lists_the_calls_deliveries_in_order(self, client, deliver, start, reader):
        deliver("call-start", **start)
        deliver("call-end", CallSid="sid-1", CallStatus="completed")
        deliver("call-end", CallSid="sid-1", CallStatus="completed")

        call = client.get("/api/calls/sid-1", headers=reader).get_json()

        assert call["status"] == "completed"
        assert [(step["route"], step["repeats"]) for step in call["timeline"]] == [("call-start", 0), ("call-end", 1)]
        assert call["timeline"][0]["parameters"] == start
        assert call["timelineTruncated"] is False
