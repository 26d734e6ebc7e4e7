import json

import pytest

from calyapp.web.pipeline import access_log


@pytest.fixture
def lines(capsys):
    """The lines of the access log so far."""

    def read() -> list[dict]:
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        return [line for line in lines if line["logger"].endswith("access_log")]

    return read


def test_a_request_is_one_line_with_all_fields(deliver, start, tenant, lines, query):
    lines()

    answer = deliver("call-start", **start)

    (line,) = lines()
    ((call_id,),) = query("SELECT id::text FROM calls")
    fields = ("level", "method", "route", "status", "requestId", "clientId", "callId", "queries", "slow")
    assert {name: line[name] for name in fields} == {
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


def test_a_refused_request_is_one_line_with_its_reason(deliver, start, tenant, capsys):
    capsys.readouterr()

    answer = deliver("call-start", key=tenant.key[:-1] + "-", **start)

    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    error = answer.json["error"]
    assert (line["level"], line["status"], line["code"]) == ("warn", 401, error["code"])
    assert line["reason"] == error["message"]


def test_a_repeated_delivery_costs_one_query(deliver, start, lines):
    deliver("call-start", **start)
    lines()

    deliver("call-start", **start)

    assert [line["queries"] for line in lines()] == [1]


def test_no_number_or_key_is_in_any_line(deliver, start, tenant, capsys):
    deliver("call-start", **start)
    deliver("call-start", CallSid="09876543210 and 08047112345")
    deliver("call-start", key=tenant.key[:-1] + "-", **start)

    log = capsys.readouterr().err
    assert log.count('"message":"request"') == 3
    for secret in ("9876543210", "8047112345", tenant.key[:-1]):
        assert secret not in log


def test_a_refusal_is_a_warning(client, lines):
    client.get("/nowhere")

    assert [(line["level"], line["status"], line["route"]) for line in lines()] == [("warn", 404, None)]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/webhooks/exotel/callstart", 404),
        ("PUT", "/webhooks/exotel/call-start", 405),
        ("POST", "/api/calls", 405),
        ("GET", "/वेबहुक", 404),
    ],
)
def test_a_mistyped_url_is_logged_with_its_path(client, lines, method, path, status):
    client.open(path, method=method)

    assert [(line["status"], line["path"]) for line in lines()] == [(status, path)]


def test_a_path_is_redacted_and_bounded(client, tenant, capsys):
    client.get(f"/webhooks/exotel/call-start&key={tenant.key}")
    client.get(f"/{tenant.key}/+919876543210")
    client.get(f"/{'x' * 230}{tenant.key}")
    client.get(f"/{'x/' * 125}919876543210")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    paths = [line["path"] for line in lines if line["logger"].endswith("access_log")]
    assert paths[:2] == ["/webhooks/exotel/call-start&key=***", "/cwk_***/*********10"]
    assert {len(path) <= 256 for path in paths} == {True}
    assert not any(tenant.key[:12] in path or "9198" in path for path in paths)


def test_other_answers_are_logged_without_the_path(client, user, lines):
    client.get("/api/calls", headers=user("admin"))
    client.get("/api/calls")

    assert [(line["status"], "path" in line) for line in lines()] == [(200, False), (401, False)]


def test_a_slow_request_is_a_warning(client, lines, monkeypatch):
    monkeypatch.setattr(access_log, "SLOW_SECONDS", 0.0)

    client.get("/health/live")

    assert [(line["level"], line["slow"]) for line in lines()] == [("warn", True)]


def test_health_checks_are_logged_at_debug_level(client, lines):
    client.get("/health/live")

    assert lines() == []
