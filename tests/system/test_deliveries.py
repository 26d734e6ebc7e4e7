"""Tests that every example of a delivery of Exotel gets the promised answer and leaves the expected record."""

import json
import re
from pathlib import Path

import pytest
import raw_http
from running_server import Server, webhook

DELIVERIES = [
    json.loads(line) for line in (Path(__file__).parents[1] / "exotel" / "deliveries.jsonl").read_text().splitlines()
]
NEW = ("initiated", None, "none", None)
COMPLETED = ("completed", "answered", "completed", None)
TALKED = ("completed", "answered", "answered", 120)
RINGING_AGENT = ("ringing", None, "none", 0)
RECORDS = {
    "cc-02-answered": ("in-progress", None, "none", None),
    "ic-02-outbound-active": ("in-progress", None, "none", 0),
    "ic-03-inbound-busy": RINGING_AGENT,
    "ic-04-inbound-free": RINGING_AGENT,  # the agent is released; this does not say how the call ended
    "ic-05-to-leg-unanswered": ("no-answer", "missed", "no-answer", 0),
    "ic-06-from-leg-cancelled": ("canceled", "abandoned", "canceled", 0),
    "ps-02-stream-json": ("in-progress", None, "answered", 28),
    "ps-03-stream-failed": ("in-progress", None, "failed", 0),
    "ps-04-classic-plus-stream": ("in-progress", None, "answered", 95),
    "pt-01-ivr-digits": NEW,
    "pt-02-answered-inbound": ("in-progress", None, "answered", 11),
    "pt-04-agent-rejected": ("in-progress", None, "busy", 0),
    "pt-06-voicemail": ("in-progress", None, "voicemail", None),
    "pt-08-unencoded-odd-status": NEW,
    "pt-12-outbound-flow-customfield": ("in-progress", None, "answered", None),
    "pt-13-e164-encoded": NEW,
    "pt-14-e164-bare-plus": NEW,
    "pt-15-insights-nested": ("in-progress", None, "answered", 15),
    "pt-17-three-fields": NEW,
    "pt-18-ringing-at-start": ("ringing", None, "none", None),
    "pt-19-no-input": NEW,
    "pt-20-digits-empty": NEW,
    "pt-21-digits-star": NEW,
    "pt-22-direction-inbound": NEW,
    "pt-23-unknown-word": NEW,
    "pt-24-empty-ints": NEW,
    "pt-27-loop-second-visit": NEW,
    "pt-28-customfield-json": NEW,
    "pt-29-bad-utf8": NEW,
    "sc-01-multipart-default": COMPLETED,
    "sc-02-multipart-recording": COMPLETED,
    "sc-04-answered-leg2": TALKED,  # sc-04, 05, 09 and 10 belong to one call
    "sc-05-terminal-completed": TALKED,
    "sc-07-terminal-busy-leg1": ("busy", "rejected", "busy", 0),
    "sc-08-terminal-failed": ("failed", "failed", "failed", 0),
    "sc-09-late-answered": TALKED,
    "sc-10-late-recording": TALKED,
    "sc-14-json-legs-as-dict": TALKED,
    "sc-16-unknown-callsid": COMPLETED,
    "sc-18-ringing-event": ("ringing", None, "none", None),
    "sc-19-e164-parts": ("completed", "answered", "answered", 7),
    "sc-20-parts-lf-only": COMPLETED,
    "sx-01-foreign-recording-host": COMPLETED,
    "vb-01-nested-passthru": NEW,
    "vb-02-outbound-customfield": NEW,
    "vb-04-minimal": NEW,
}
"""Status, outcome, evidence and seconds of each delivery's call after all of them."""

CALL_SIDS = {
    delivery["id"]: re.search(r"[0-9a-z]{32}", (delivery["raw_query"] or "") + (delivery["body"] or ""))[0]
    for delivery in DELIVERIES
    if delivery["id"] in RECORDS
}


@pytest.fixture(scope="module", params=["nothing", "nginx"])
def front(request) -> str:
    """Runs all tests on the port of Gunicorn, and then through nginx."""
    return request.param


@pytest.fixture(scope="module")
def statuses(module_serve, tenant) -> dict[str, int]:
    """Sends each delivery once, in the order of the file. The status of each answer, by the delivery's id."""
    server = module_serve("--workers", "2", WEBHOOK_AUTH="required")
    asha = tenant(server)
    return {delivery["id"]: _send(server, asha, delivery) for delivery in DELIVERIES}


@pytest.fixture(scope="module")
def record(statuses, module_query):
    """`record(id, columns)` returns these columns of the call to which the delivery belongs."""
    return lambda id_, columns: module_query(f"SELECT {columns} FROM calls WHERE call_sid = %s", CALL_SIDS[id_])


@pytest.mark.parametrize("delivery", DELIVERIES, ids=[delivery["id"] for delivery in DELIVERIES])
def test_a_delivery_is_answered_as_promised(statuses, delivery):
    assert statuses[delivery["id"]] in delivery["expect_status"]


@pytest.mark.parametrize("id_", RECORDS)
def test_a_call_is_recorded(record, id_):
    assert record(id_, "status, outcome, evidence, duration_seconds") == [RECORDS[id_]]


def test_no_other_call_is_recorded(statuses, module_query):
    assert {row[0] for row in module_query("SELECT call_sid FROM calls")} == set(CALL_SIDS.values())


@pytest.mark.parametrize(
    "id_", ["pt-14-e164-bare-plus", "pt-13-e164-encoded", "pt-01-ivr-digits", "vb-02-outbound-customfield"]
)
def test_numbers_are_recorded_in_one_form(record, id_):
    assert record(id_, "phone_from, phone_to") == [("+919000000001", "+918000000010")]


@pytest.mark.parametrize(
    ("id_", "link"),
    [
        ("ps-02-stream-json", "https://recordings.exotel.com/exotelrecordings/acct-demo/s2.mp3"),
        ("sc-10-late-recording", "https://s3-ap-south-1.amazonaws.com/exotel-mum1-recordings/acct-demo/y.mp3"),
        ("sc-01-multipart-default", None),
    ],
)
def test_a_recording_is_found_in_every_field_that_may_hold_it(record, id_, link):
    assert record(id_, "recording_url") == [(link,)]


def test_implausibly_old_times_are_not_copied_to_the_call(record):
    assert record("pt-01-ivr-digits", "start_ts_source, end_ts") == [("arrival", None)]


def _send(server: Server, tenant: dict, delivery: dict) -> int:
    with raw_http.connect(server.port) as link:
        raw_http.send(link, _raw(tenant, delivery))
        (answer,) = raw_http.answers(raw_http.receive(link))
    return answer.status


def _raw(tenant: dict, delivery: dict) -> bytes:
    path, _, key = webhook(tenant, delivery["route"]).partition("?")
    query = "&".join(filter(None, [delivery["raw_query"], _presented(key, delivery["auth"])]))
    body = (delivery["body"] or "").replace("<REPEAT x 2MiB>", "x" * 2 * 1024 * 1024).encode()
    headers = {"Host": "localhost", "Connection": "close", **delivery["headers"]}
    if delivery["content_type"]:
        headers |= {"Content-Type": delivery["content_type"], "Content-Length": str(len(body))}
    lines = [f"{delivery['method']} {path}?{query} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _presented(key: str, auth: str) -> str:
    """Returns the query parameter `key=…` as the sender presents it."""
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    return {"valid": key, "missing": "", "wrong": wrong, "truncated": key[:-10], "duplicated": f"{key}&{wrong}"}[auth]
