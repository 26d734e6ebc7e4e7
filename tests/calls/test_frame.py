import json
import zlib
from datetime import UTC, datetime
from random import Random
from uuid import uuid4

import pytest
from events import event
from hypothesis import given
from hypothesis import strategies as st
from strategies import views

from calyapp.calls import frame
from calyapp.calls.event import Arrival, CallEvent, Route
from calyapp.calls.frame import UnreadableFrameError
from calyapp.calls.state import CallView
from calyapp.spool.journal import MAX_FRAME_BYTES
from calyapp.web.pipeline.body_limit import MAX_BYTES

# Every text that Python can hold, with NUL and lone surrogates.
_texts = st.text(st.characters(), max_size=20)
_moments = st.datetimes(timezones=st.just(UTC))
_optional = st.none() | _texts
arrivals = st.builds(
    Arrival, at=_moments, audit_id=st.uuids(), request_id=_optional, ip_address=_optional, user_agent=_optional
)
events = st.builds(
    CallEvent,
    route=st.sampled_from(Route),
    parameters=st.lists(st.tuples(_texts, _texts), max_size=5),
    digest=st.binary(min_size=32, max_size=32),
    arrival=arrivals,
    client_id=st.none() | st.uuids(),
    key_version=st.none() | st.integers(0, 65_535),
    call_sid=_optional,
    dialled=_optional,
    view=views,
)


@given(events)
def test_loading_a_frame_returns_the_event_that_was_dumped(event):
    assert frame.load(frame.dump(event)) == event


def test_a_frame_has_named_fields_and_a_version():
    moment = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    arrival = Arrival(at=moment, audit_id=uuid4())
    others = {"client_id": None, "call_sid": "sid-1", "view": CallView(), "digest": b"\1" * 32}
    event = CallEvent(route=Route.CALL_END, parameters=[("CallSid", "sid-1")], arrival=arrival, **others)

    fields = json.loads(zlib.decompress(frame.dump(event)))

    assert fields["version"] == 1
    assert (fields["route"], fields["call_sid"], fields["parameters"]) == ("call-end", "sid-1", [["CallSid", "sid-1"]])


@given(events, st.integers(0), st.integers(1, 255))
def test_a_frame_with_a_changed_byte_is_an_event_or_unreadable(event, place, change):
    content = bytearray(frame.dump(event))
    content[place % len(content)] ^= change

    try:
        loaded = frame.load(bytes(content))
    except UnreadableFrameError:
        return

    assert isinstance(loaded, CallEvent)


@pytest.mark.parametrize("alphabet", [range(1, 32), range(32, 127), range(0x900, 0x980), range(0x4E00, 0x9FFF)])
def test_the_largest_body_fits_into_a_frame_in_every_alphabet(alphabet):
    random = Random(1)
    width = len(chr(alphabet[-1]).encode())
    text = "".join(chr(random.choice(alphabet)) for _ in range(MAX_BYTES // width))

    assert len(frame.dump(event(parameters=[("CustomField", text)]))) < MAX_FRAME_BYTES


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"version": 1}', b'{"version": 2}'])
def test_bytes_that_are_not_an_event_are_unreadable(content):
    for encoded in (content, zlib.compress(content)):
        with pytest.raises(UnreadableFrameError):
            frame.load(encoded)
