"""Time in UTC, and identifiers that sort by it."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122

import time_machine
from hypothesis import given
from hypothesis import strategies as st

from calyapp import clock

IST = timezone(timedelta(hours=5, minutes=30))

moments = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis takes naive bounds and adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - as above
    timezones=st.sampled_from([UTC, IST]),
)


def test_now_is_the_present_in_utc() -> None:
    with time_machine.travel(datetime(2026, 3, 5, 14, 30, tzinfo=IST), tick=False):
        assert clock.now() == datetime(2026, 3, 5, 9, 0, tzinfo=UTC)
        assert clock.now().tzinfo is UTC


def test_iso_shows_milliseconds_in_utc() -> None:
    moment = datetime(2026, 3, 5, 14, 30, 0, 9_999, tzinfo=IST)

    assert clock.iso(moment) == "2026-03-05T09:00:00.009Z"


@given(moments)
def test_iso_is_the_same_instant_to_the_millisecond(moment: datetime) -> None:
    again = datetime.fromisoformat(clock.iso(moment))

    assert timedelta(0) <= moment - again < timedelta(milliseconds=1)


@given(moments)
def test_a_uuid7_has_the_standard_format(moment: datetime) -> None:
    identifier = clock.uuid7(moment)

    assert identifier.version == 7
    assert identifier.variant == RFC_4122


@given(moments)
def test_a_uuid7_begins_with_its_millisecond(moment: datetime) -> None:
    assert clock.uuid7(moment).int >> 80 == clock.milliseconds(moment)


@given(moments, moments)
def test_uuid7s_sort_by_time(one: datetime, other: datetime) -> None:
    earlier, later = sorted((one, other), key=clock.milliseconds)

    if clock.milliseconds(earlier) < clock.milliseconds(later):
        assert clock.uuid7(earlier) < clock.uuid7(later)


def test_uuid7s_of_one_millisecond_differ() -> None:
    moment = datetime(2026, 3, 5, tzinfo=UTC)

    assert len({clock.uuid7(moment) for _ in range(1000)}) == 1000
