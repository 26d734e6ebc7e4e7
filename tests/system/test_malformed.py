"""Tests malformed requests over a socket: one clean answer each, no wrong record, and the server stays healthy."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count

import pytest
import raw_http
from malformed import CASES
from malformed_nginx import CASES_THROUGH_NGINX, SECOND_REQUESTS
from raw_http import Answer
from raw_requests import Case, Ending
from running_server import ROOT, Server, webhook

INTERNALS = ("Traceback", "site-packages", "psycopg", "SELECT ", "INSERT ", '.py"', str(ROOT))


@dataclass(frozen=True, slots=True)
class Played:
    """A case that was sent: its CallSid, and what was received."""

    name: str
    case: Case
    call_sid: str
    stream: bytes


@pytest.mark.parametrize("front", ["nothing", "nginx"])
def test_malformed_requests_are_answered_once_and_cleanly(serve, front, tenant, query, subtests, tmp_path):
    cases = CASES_THROUGH_NGINX if front == "nginx" else CASES
    server = serve("--workers", "2", WEBHOOK_AUTH="required")
    asha = tenant(server)
    workers = server.workers()

    with ThreadPoolExecutor(8) as senders:
        playing = senders.map(partial(_play, server, asha), cases.items(), count())
        with subtests.test("the slow ones, which come first, leave room for others"):
            assert server.ask("GET", "/health/live")[0] == 200
        everything = list(playing)

    recorded = dict(query("SELECT call_sid, count(*) FROM deliveries JOIN calls ON id = call_id GROUP BY 1"))
    for played in everything:
        with subtests.test(played.name):
            assert _faults(played, recorded.pop(played.call_sid, 0)) == []
    with subtests.test("nothing else is recorded"):
        assert set(recorded) == (SECOND_REQUESTS if front == "nginx" else set())
    with subtests.test("no worker is lost"):
        assert server.workers() == workers
    with subtests.test("a call is answered as ever"):
        start = {"CallSid": "after", "From": "09876543210", "To": "08047112345"}
        assert server.ask("POST", webhook(asha, "call-start"), start)[0] == 200
    with subtests.test("the log knows of no mishap and no secret"):
        words = (*INTERNALS, '"level":"error"', '"level":"critical"', "[ERROR]", asha["webhookKey"])
        log = (tmp_path / "server.log").read_text(errors="replace") + (server.nginx.output() if server.nginx else "")
        assert [line for line in log.splitlines() if any(word in line for word in words)] == []


def _play(server: Server, tenant: dict, named: tuple[str, Case], number: int) -> Played:
    name, case = named
    call_sid = f"case-{number:04}"
    raw = case.raw.replace(b"@KEY@", tenant["webhookKey"].encode()).replace(b"@CASESID@", call_sid.encode())
    with raw_http.connect(server.port) as link:
        raw_http.send(link, raw, dripping=case.dripping)
        if case.ending is Ending.RESETS:
            raw_http.reset(link)
            return Played(name, case, call_sid, b"")
        if case.ending is Ending.FINISHES:
            raw_http.finish(link)
        return Played(name, case, call_sid, raw_http.receive(link))


def _faults(played: Played, recorded: int) -> list[str]:
    try:
        answers = raw_http.answers(played.stream, bodiless=played.case.raw.startswith(b"HEAD "))
    except ValueError as error:
        return [str(error)]
    faults = [fault for answer in answers for fault in _faults_of(answer)]
    statuses, allowed = [answer.status for answer in answers], [sorted(each) for each in played.case.allowed]
    if len(statuses) != len(allowed) or any(a not in b for a, b in zip(statuses, allowed, strict=True)):
        faults.append(f"answered {statuses}, not {allowed}")
    if recorded != (expected := _deliveries(played.case, statuses)):
        faults.append(f"recorded {recorded} times, not {expected}")
    return faults


def _deliveries(case: Case, statuses: list[int]) -> int:
    return statuses.count(200) if case.deliveries is None else case.deliveries


def _faults_of(answer: Answer) -> list[str]:
    text = answer.body.decode(errors="replace")
    faults = [f"{word!r} in the answer" for word in INTERNALS if word in text]
    if answer.status < 400:
        return faults
    if answer.headers["content-type"] != "application/json":
        return [*faults, f"{answer.status} is not in JSON"]
    error = json.loads(text)["error"]
    return faults + [f"no {name}" for name in ("code", "message", "timestamp", "requestId") if name not in error]
