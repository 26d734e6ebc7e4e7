import json

import pytest


@pytest.fixture
def lines(capsys):
    """The lines that the access log wrote so far."""

    def read() -> list[dict]:
        told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        return [line for line in told if line["logger"].endswith("access_log")]

    return read


def test_a_request_is_one_line_with_all_that_is_known_of_it(deliver, start, tenant, lines, query):
    lines()

    answer = deliver("call-start", **start)

    (line,) = lines()
    ((call_id,),) = query("SELECT id::text FROM calls")
    known = ("level", "method", "route", "status", "requestId", "clientId", "callId", "queries", "slow")
    assert {name: line[name] for name in known} == {
        "level": "info",
        "method": "POST",
        "route": "/webhooks/exotel/call-start",
        "status": 200,
        "requestId": answer.headers["X-Request-ID"],
        "clientId": str(tenant.id),
        "callId": call_id,
        "queries": line["queries"],
        "slow": False,
    }
    assert line["queries"] >= 1
    assert line["bytes"] == len(answer.data)
    assert {"durationMs", "queryMs", "memoryGrowthKb", "time"} <= set(line)


def test_a_repeated_delivery_costs_one_query(deliver, start, lines):
    deliver("call-start", **start)
    lines()

    deliver("call-start", **start)

    assert [line["queries"] for line in lines()] == [1]


def test_no_number_or_key_is_in_any_line(deliver, start, tenant, capsys):
    deliver("call-start", **start)
    deliver("call-start", CallSid="09876543210 and 08047112345")
    deliver("call-start", key=tenant.key[:-1] + "-", **start)

    told = capsys.readouterr().err
    assert told.count('"message":"request"') == 3
    for secret in ("9876543210", "8047112345", tenant.key[:-1]):
        assert secret not in told


def test_a_refusal_is_a_warning(client, lines):
    client.get("/nowhere")

    assert [(line["level"], line["status"], line["route"]) for line in lines()] == [("warn", 404, None)]


def test_health_is_whispered(client, lines):
    client.get("/health/live")

    assert lines() == []
