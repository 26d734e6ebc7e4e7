"""Redaction: the data that it masks, and the data that it must not change."""

from datetime import datetime
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calyapp import redact

SHAPES = (
    "{0}",
    "0{0}",
    "91{0}",
    "+91{0}",
    "0091{0}",
    "+910{0}",
    "%2B91{0}",
    "%20{0}",
    "\\u002b91{0}",
    "+91 {1} {2}",
    "+91-{1}-{2}",
    "+91.{1}.{2}",
    "91 {1} {2}",
    "0{1} {2}",
    "0{1}-{2}",
    "0 {1} {2}",
    "{1} {2}",
    "%2B91%20{1}%20{2}",
    "+91+{1}+{2}",
    "+91 (0){3} {4} {5}",
    "(0{3}) {4}-{5}",
    "0{3}-{4}{5}",
    "+1{0}",
    "+44 {1} {2}",
    "+971-{3}-{4}-{5}",
)
national = st.from_regex(r"[1-9][0-9]{9}", fullmatch=True)
delimiter = st.sampled_from(["\n", '"', "'", "=", "&", ",", ": ", ";", "/", "<", ">", "[", "]", "|", "{", "}", "_"])

CALL_SIDS = ["0a1b2c3d4e5f60718293a4b5c6d7187v", "42842171ac6929b100b81e2b2d081a35", "123456789012345678", "9" * 32]
REQUEST_IDS = ["1760000000000-abc123def", "1760000000000-123456789"]
UUIDS = ["11111111-2222-4333-8444-123456789012", "0A1B2C3D-1111-4222-8333-444455556666"]
TIMES = [
    "2026-03-05",
    "2026-03-05 14:30:00",
    "2026-03-05T14:30:00.123Z",
    "2026-03-05T14:30:00+05:30",
    "2026-03-05+14%3A30%3A00",
    "1970-01-01 05:30:00+05:30",
    "0001-01-01T00:00:00Z",
    "0000-00-00 00:00:00",
    "20260305T143000Z",
    "Wed, 31 Jul 2024 16:42:56",
    "Wed%2C+31+Jul+2024+16%3A42%3A56",
    "1760000000000",
]
AMOUNTS = ["0.123456", "1234.567890 ms", "86400", "12 s", "1048576 bytes"]
ADDRESSES = ["192.168.100.200", "127.0.0.1:5432", "10.11.12.13 65535", "2001:db8::1", "[::1]:8000"]


def written(shape: str, number: str) -> str:
    return shape.format(number, number[:5], number[5:], number[:2], number[2:6], number[6:])


class TestPhoneNumbers:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_are_masked_in_every_format_except_two_digits(self, shape: str) -> None:
        line = f"From={written(shape, '8047112345')}&Duration=12"

        masked = redact.phone_numbers(line)

        assert masked.replace("%20", "").replace("(", "") == "From=*********45&Duration=12"

    @given(st.text(), delimiter, st.sampled_from(SHAPES), national, delimiter, st.text())
    @example("call 12 at 14:30:10", ", ", "{0}", "9000000001", "\n", "200 OK")
    def test_are_removed_from_every_text(
        self, before: str, left: str, shape: str, number: str, right: str, after: str
    ) -> None:
        raw = written(shape, number)

        masked = redact.phone_numbers(before + left + raw + right + after)

        assert raw not in masked
        assert "*********" in masked

    def test_are_masked_separately(self) -> None:
        line = "Legs 9000000001, 9000000002 and +919000000003 200 OK"

        assert redact.phone_numbers(line) == "Legs *********01, *********02 and *********03 200 OK"

    def test_are_masked_after_a_percent_sign_an_escape_and_a_word(self) -> None:
        line = "%9000000001 \\n9000000002 agent9000000003"

        assert redact.phone_numbers(line) == "%*********01 \\n*********02 agent*********03"

    def test_are_masked_in_other_scripts(self) -> None:
        assert redact.phone_numbers("९००००००००१") == "*********०१"


class TestOtherValues:
    @pytest.mark.parametrize("kept", [*CALL_SIDS, *REQUEST_IDS, *UUIDS, *TIMES, *AMOUNTS, *ADDRESSES])
    @pytest.mark.parametrize("frame", ["{}", "callId={}&x=1", '"{}"', "({})", "call-{}"])
    def test_are_not_changed(self, kept: str, frame: str) -> None:
        line = frame.format(kept)

        assert redact.text(line) == line

    @pytest.mark.parametrize("kept", [*CALL_SIDS, *REQUEST_IDS, *UUIDS, *TIMES])
    def test_are_not_changed_between_numbers(self, kept: str) -> None:
        line = f"took 12 {kept} 34"

        assert redact.text(line) == line

    @given(
        st.uuids(),
        st.from_regex(r"[0-9a-z]{32}", fullmatch=True),
        st.from_regex(r"17[0-9]{11}-[0-9a-z]{9,13}", fullmatch=True),
    )
    def test_are_not_changed_if_they_are_identifiers(self, identifier: UUID, call_sid: str, request_id: str) -> None:
        line = f"12 {identifier} {call_sid} {request_id} 34"

        assert redact.text(line) == line

    @given(st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 31)))  # noqa: DTZ001 - Exotel sends naive times
    def test_are_not_changed_if_they_are_times(self, moment: datetime) -> None:
        line = f"12 {moment} {moment.isoformat()} {moment:%a, %d %b %Y %H:%M:%S}"

        assert redact.text(line) == line


class TestSecrets:
    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ("cwk_" + "aB3-_x7" * 8, "cwk_***"),
            ("Bearer cas_" + "aB3-_x7" * 7, "Bearer cas_***"),
            ("cak_" + "aB3-_x7" * 7, "cak_***"),
            ("POST /webhooks?key=s3cret&From=1", "POST /webhooks?key=***&From=1"),
            ("next=%2Fw%3Fkey%3Ds3cret%26From%3D1", "next=%2Fw%3Fkey%3D***%26From%3D1"),
            ("?api_key=s3cret&accessToken=s3cret", "?api_key=***&accessToken=***"),
            ("password='a s3cret' host=db", "password=*** host=db"),
            ("SECRET=s3cret", "SECRET=***"),
            (
                "https://s3/r.mp3?X-Amz-Credential=AK%2F2026&X-Amz-Security-Token=s3cret&X-Amz-Signature=ff&v=1",
                "https://s3/r.mp3?X-Amz-Credential=***&X-Amz-Security-Token=***&X-Amz-Signature=***&v=1",
            ),
            ("?Signature=s3%2Bcret&sig=ff;", "?Signature=***&sig=***"),
            ("Authorization: Basic czNjcmV0 from 10.0.0.1", "Authorization: Basic *** from 10.0.0.1"),
            ("{'Authorization': 'Bearer s3.cr-et'}", "{'Authorization': 'Bearer ***'}"),
            ("authorization: s3cret", "authorization: ***"),
            ("postgresql://caly:s3cret@db:5432/caly", "postgresql://***@db:5432/caly"),
            ("postgresql://caly:s3/cret@db/caly", "postgresql://***@db/caly"),
            ("redis://:s3cret@cache:6379/0", "redis://***@cache:6379/0"),
            ("https%3A%2F%2Fme%3As3cret%40host%2Fx", "https%3A%2F%2F***%40host%2Fx"),
            ("to first.last+tag@mail.example.com now", "to ***@*** now"),
            ("email=me%40example.com", "email=***%40***"),
            ("ring sip:agent@pbx.example", "ring sip:***@***"),
        ],
    )
    def test_are_replaced_without_other_changes(self, raw: str, expected: str) -> None:
        assert redact.text(raw) == expected

    @pytest.mark.parametrize(
        "raw",
        [
            "http://127.0.0.1:8000/health/live",
            "POST /webhooks/exotel/call-start 200 in 12.3 ms",
            "Authorization failed",
            "the key is missing",
            "@cache",
        ],
    )
    def test_are_not_assumed_in_other_text(self, raw: str) -> None:
        assert redact.text(raw) == raw

    @given(st.text(), st.from_regex(r"cwk_[A-Za-z0-9_-]{56}", fullmatch=True), st.text())
    def test_of_type_webhook_key_are_removed_from_every_text(self, before: str, key: str, after: str) -> None:
        assert key not in redact.text(before + key + after)


class TestWebhookKeys:
    def test_are_masked_identically(self) -> None:
        one, other = ("https://h.example/p?key=cwk_" + letter * 56 + "&From=09000000001" for letter in "ab")

        assert (
            redact.webhook_keys(one) == redact.webhook_keys(other) == "https://h.example/p?key=cwk_***&From=09000000001"
        )

    @given(st.text())
    def test_are_the_only_masked_text(self, raw: str) -> None:
        plain = raw.replace("cwk_", "")

        assert redact.webhook_keys(plain) == plain


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "a",
        "1 ",
        "+1",
        "+91 ",
        'key="',
        "key='",
        "://",
        "://a:",
        "a@",
        "%20",
        "2026-03-05 ",
        "0-",
        "1a",
        "12345678-1234-",
    ],
)
def test_no_text_takes_more_than_linear_time(piece: str) -> None:
    """With quadratic time each of these texts would take minutes. It takes a fraction of a second."""
    assert redact.text(piece * (300_000 // len(piece)))
