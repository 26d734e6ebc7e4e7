from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from running_server import webhook

pytestmark = pytest.mark.parametrize("front", ["nothing", "nginx"])


def start(call_sid: str) -> dict[str, str]:
    return {"CallSid": call_sid, "From": "09876543210", "To": "08047112345"}


def test_a_call_is_answered_and_found_in_the_database(serve, tenant, query):
    server = serve()
    asha = tenant(server)

    status, answer = server.ask("POST", webhook(asha, "call-start"), start("s1"))
    server.ask("POST", webhook(asha, "call-status"), {"CallSid": "s1", "CallStatus": "in-progress"})
    server.ask("POST", webhook(asha, "call-end"), {"CallSid": "s1", "CallStatus": "completed", "CallDuration": "9"})

    assert status == 200
    assert answer["Response"]["Stream"]["_attributes"]["url"] == answer["url"]
    (call_id,) = parse_qs(urlsplit(answer["url"]).query)["callId"]
    assert query("SELECT id::text, client_id::text, status, duration_seconds FROM calls") == [
        (call_id, asha["id"], "completed", 9)
    ]
    assert query("SELECT route FROM deliveries ORDER BY received_at") == [
        ("call-start",),
        ("call-status",),
        ("call-end",),
    ]
    assert query("SELECT event_type FROM audit_logs WHERE call_id = %s ORDER BY id", call_id) == [
        ("CALL_STARTED",),
        ("CALL_STATUS_CHANGED",),
        ("CALL_ENDED",),
    ]


def test_200_concurrent_starts_of_50_calls_create_50_calls(serve, tenant, query):
    server = serve("--workers", "2")
    path = webhook(tenant(server), "call-start")

    with ThreadPoolExecutor(200) as callers:
        answers = list(callers.map(lambda n: server.ask("POST", path, start(f"s{n % 50}")), range(200)))

    assert Counter(status for status, _ in answers) == {200: 200}
    streams = Counter(answer["url"].partition("&token=")[0] for _, answer in answers)
    assert sorted(streams.values()) == [4] * 50
    assert query("SELECT count(*) FROM calls") == [(50,)]
    assert query("SELECT count(*), sum(repeats) FROM deliveries") == [(50, 150)]
    assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'CALL_STARTED'") == [(50,)]


def test_a_client_added_or_rotated_while_the_server_runs_works_at_once(serve, tenant):
    server = serve("--workers", "2")
    asha = tenant(server)
    statuses = [server.ask("POST", webhook(asha, "call-start"), start(f"s{n}"))[0] for n in range(4)]

    rotated = server.cli("clients", "rotate-key", asha["id"])
    both = [server.ask("POST", webhook(key, "call-start"), start("s9"))[0] for key in (asha, rotated) for _ in range(4)]

    assert statuses == [200] * 4
    assert both == [200] * 8
