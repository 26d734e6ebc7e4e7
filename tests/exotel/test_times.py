import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.exotel import times

ARRIVAL = datetime(2026, 8, 25, 9, tzinfo=UTC)
NOON_IN_INDIA = datetime(2026, 8, 25, 6, 37, 8, tzinfo=UTC)


class TestInstant:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-08-25 12:07:08",
            "2026-08-25T12:07:08",
            " 2026-08-25 12:07:08 ",
            "Tue, 25 Aug 2026 12:07:08",
            "2026-08-25T12:07:08+05:30",
            "2026-08-25 12:07:08+05:30",
            "2026-08-25T06:37:08Z",
            "2026-08-25T06:37:08.000Z",
        ],
    )
    def test_without_an_offset_is_indian_time(self, text):
        moment = times.instant(text, ARRIVAL)

        assert (moment, moment.tzinfo) == (NOON_IN_INDIA, UTC)

    @pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
    def test_does_not_depend_on_the_time_zone_of_the_host(self, monkeypatch, zone):
        with monkeypatch.context() as environment:
            environment.setenv("TZ", zone)
            time.tzset()
            moment = times.instant("2026-08-25 12:07:08", ARRIVAL)
        time.tzset()

        assert moment == NOON_IN_INDIA

    @pytest.mark.parametrize(
        "placeholder",
        [
            "1970-01-01 05:30:00",
            "1970-01-01 05:30:00+05:30",
            "1970-01-01T00:00:00Z",
            "0000-00-00 00:00:00",
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00+05:30",
            "9999-12-31T23:59:59-05:30",
            "",
            "null",
        ],
    )
    def test_is_none_for_a_placeholder(self, placeholder):
        assert times.instant(placeholder, ARRIVAL) is None

    @pytest.mark.parametrize(
        "text", ["2026-08-25", "12:07:08", "2026-08-25 25:07:08", "Tue, 32 Aug 2026 12:07:08", ":" * 50, "," * 9]
    )
    def test_is_none_for_text_without_a_date_and_a_time(self, text):
        assert times.instant(text, ARRIVAL) is None

    @pytest.mark.parametrize(
        ("distance", "accepted"),
        [
            (timedelta(days=-7), True),
            (timedelta(days=-7, seconds=-1), False),
            (timedelta(days=1), True),
            (timedelta(days=1, seconds=1), False),
        ],
    )
    def test_lies_between_7_days_before_and_1_day_after_the_arrival(self, distance, accepted):
        moment = ARRIVAL + distance

        assert times.instant(moment.isoformat(), ARRIVAL) == (moment if accepted else None)

    @given(st.text(alphabet="0123456789-:T ,+ZAugTe.", max_size=45) | st.text(max_size=45))
    def test_never_raises(self, text):
        moment = times.instant(text, ARRIVAL)

        assert moment is None or abs(moment - ARRIVAL) <= timedelta(days=7)

    @given(st.timezones().map(lambda zone: ARRIVAL.astimezone(zone)))
    def test_does_not_depend_on_the_offset(self, moment):
        fixed = moment.replace(tzinfo=timezone(moment.utcoffset()))

        assert times.instant(fixed.isoformat(" "), ARRIVAL) == ARRIVAL


class TestSeconds:
    @pytest.mark.parametrize(
        ("text", "number"),
        [("0", 0), (" 61 ", 61), ("007", 7), ("86400", 86400), ("86401", None), ("9" * 5000, None)]
        + [(text, None) for text in ("-1", "1e3", "4.39", "", "६", "null", "a")],
    )
    def test_are_a_whole_number_up_to_a_day(self, text, number):
        assert times.seconds(text) == number
