import json
from urllib.parse import parse_qsl

from calyapp.calls.event import Route
from calyapp.simulation import wire
from calyapp.simulation.scenarios import FORM, JSON, Delivery

PAIRS = (("CallSid", "s1"), ("CustomField", "a+b & नमस्ते"), ("Legs[0][Status]", "busy"), ("Legs[1][Status]", ""))


def request(content_type: str | None) -> wire.Request:
    return wire.request(Delivery("s1", Route.CALL_STATUS, "POST", content_type, PAIRS))


def test_a_delivery_of_an_applet_is_a_query():
    sent = request(None)

    assert tuple(parse_qsl(sent.query, keep_blank_values=True)) == PAIRS
    assert (sent.body, sent.headers) == (None, {})


def test_json_nests_names_with_brackets():
    sent = request(JSON)

    assert (sent.query, sent.headers) == ("", {"Content-Type": "application/json"})
    assert json.loads(sent.body or b"") == {
        "CallSid": "s1",
        "CustomField": "a+b & नमस्ते",
        "Legs": [{"Status": "busy"}, {"Status": ""}],
    }


def test_a_form_has_the_captured_format():
    sent = request(FORM)

    boundary = sent.headers["Content-Type"].partition("; boundary=")[2]
    lines = (sent.body or b"").decode().split("\r\n")
    assert boundary.startswith("form-data-boundary-")
    assert len(boundary) == len("form-data-boundary-") + 16
    assert lines[:4] == [f"--{boundary}", 'Content-Disposition: form-data; name="CallSid"', "", "s1"]
    assert lines[-3:] == [f"--{boundary}--", "", ""]


def test_the_same_delivery_gives_the_same_bytes():
    assert request(FORM) == request(FORM)
