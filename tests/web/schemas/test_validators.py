"""For each validator: what it accepts, what it loads, and what it refuses."""

import datetime as dt
import re
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import Schema, fields
from marshmallow import ValidationError as Invalid

from calyapp.web.schemas import validators
from calyapp.web.schemas.sanitizers import trim


class Answer(StrEnum):
    YES = "yes"
    NO = "no"


NO_TEXTS = [None, True, 0, 1.5, [], ["a"], {}]
CATALOGUE = {
    "email": validators.email(),
    "phone": validators.phone(),
    "url": validators.url(),
    "string": validators.string(1, 10),
    "whole number": validators.whole_number(-5, 1000),
    "number": validators.number(-5, 1000, 2),
    "enum": validators.enum(Answer),
    "array": validators.array(validators.whole_number(0, 9), 1, 3),
    "date": validators.date(dt.date(2020, 1, 1), dt.date(2030, 12, 31)),
    "moment": validators.moment(),
    "yes or no": validators.yes_or_no(),
    "uuid": validators.uuid(),
    "alphanumeric": validators.alphanumeric(1, 10),
    "no special characters": validators.no_special_characters(1, 20),
}
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_each_kind = pytest.mark.parametrize("kind", CATALOGUE)


def refusal(field: fields.Field, value: object) -> object:
    with pytest.raises(Invalid) as raised:
        field.deserialize(value)
    return raised.value.messages


def cases(table: dict[str, list]) -> pytest.MarkDecorator:
    rows = [(kind, value) for kind, values in table.items() for value in values]
    return pytest.mark.parametrize(("kind", "value"), rows, ids=[kind for kind, _ in rows])


@cases(
    {
        "email": [
            "asha@example.com",
            "a.b+c_d@sub.example.co.in",
            "o'neil@xn--bcher-kva.example",
            "x@1and1.com",
            "ASHA@Example.COM",
            "a" * 64 + "@example.com",
            "a" * 64 + "@" + ("b" * 60 + ".") * 3 + "bb.com",
        ],
        "url": [
            "https://example.com",
            "HTTP://Example.com:8080/a/b.mp3?x=1&y=%20#part",
            "https://localhost:1/",
            "http://192.0.2.1/",
            "http://[2001:db8::1]:443/",
            "https://example.com?next=//a@b",
            "https://example.com/" + "a" * (2048 - 20),
        ],
        "string": ["a", "आशा 1 <&>", "क्\u200dष", "a" * 10, " "],
        "whole number": [-5, 0, 1000],
        "date": [],
        "alphanumeric": ["a", "Zz09", "0" * 10],
        "no special characters": ["Asha 2", "आशा राव", "Müller", "क्\u200dष", "١٢"],
    }
)
def test_accepts_unchanged(kind, value):
    assert CATALOGUE[kind].deserialize(value) == value


@pytest.mark.parametrize(
    ("kind", "value", "becomes"),
    [
        ("phone", "098765 43210", "+919876543210"),
        ("phone", "+91-98765-43210", "+919876543210"),
        ("phone", "+1 (212) 555-0123", "+12125550123"),
        ("whole number", "0", 0),
        ("whole number", "-5", -5),
        ("whole number", "1000", 1000),
        ("number", "0.25", Decimal("0.25")),
        ("number", "-5", Decimal(-5)),
        ("number", 1.5, Decimal("1.5")),
        ("number", 7, Decimal(7)),
        ("enum", "yes", Answer.YES),
        ("array", [1, "2"], [1, 2]),
        ("date", "2024-02-29", dt.date(2024, 2, 29)),
        ("date", "2020-01-01", dt.date(2020, 1, 1)),
        ("date", "2030-12-31", dt.date(2030, 12, 31)),
        ("moment", "2024-02-29T09:30:00Z", dt.datetime(2024, 2, 29, 9, 30, tzinfo=dt.UTC)),
        ("yes or no", "true", True),
        ("yes or no", "false", False),
        ("uuid", "01890A5D-ac96-774b-bcce-b302099a8057", UUID("01890a5d-ac96-774b-bcce-b302099a8057")),
    ],
)
def test_accepts_and_converts(kind, value, becomes):
    taken = CATALOGUE[kind].deserialize(value)

    assert (type(taken), taken) == (type(becomes), becomes)


@cases(
    {
        "email": [
            *NO_TEXTS,
            "",
            "asha",
            "@example.com",
            "asha@",
            "asha@localhost",
            "asha@example.com.",
            "asha@-example.com",
            "asha@exa_mple.com",
            "asha@192.0.2.1",
            "asha@[192.0.2.1]",
            ".a@example.com",
            "a..b@example.com",
            '"a b"@example.com',
            "a@b@example.com",
            "Asha <asha@example.com>",
            " asha@example.com",
            "asha@example.com\n",
            "a\0@example.com",
            "आशा@example.com",
            "a@bücher.example",
            "a" * 65 + "@example.com",
            "a" * 64 + "@" + ("b" * 60 + ".") * 3 + "bbb.com",
            "a@" + "b." * 200 + "com",
            "a@" + "b" * 64 + ".com",
        ],
        "phone": [*NO_TEXTS, "", "anonymous", "12", "sip:agent7", "+91 98765", "9" * 100, "98765\0043210", "+"],
        "url": [
            *NO_TEXTS,
            "",
            "example.com",
            "//example.com",
            "/path",
            "ftp://example.com",
            "javascript:alert(1)",
            "javascript://example.com/%0aalert(1)",
            "data:text/html,x",
            "https://",
            "https:///path",
            "https://user:secret@example.com",
            "https://user@example.com",
            "https://example.com:80@evil.example/",
            "https://example.com\\@evil.example/",
            "https://example.com:0",
            "https://example.com:65536",
            "https://example.com:",
            "https://example.com:8o",
            "https://exa mple.com",
            "https://example.com/a b",
            "https://example.com/\n",
            "https://example.com\n",
            " https://example.com",
            "https://example.com/\0",
            "https://example.com/<x>",
            "https://example.com/%2",
            "https://example.com/é",
            "https://bücher.example/",
            "https://exa%6dple.com",
            "https://-example.com",
            "https://exa..mple.com",
            "https://example.com./",
            "http://256.1.1.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::1",
            "http://[::1%25eth0]/",
            "http://[::1]x/",
            "http://[192.0.2.1]/",
            "https://example.com/" + "a" * 2048,
        ],
        "string": [*NO_TEXTS, "", "a" * 11, "a\0b", "a\nb", "\x7f", "\x85", "\ud800", "\u2028", "\u202e"],
        "whole number": [
            None, True, False, 1.0, 1.5, -6, 1001, 10**30, 10**5000, -(10**5000),
            "", " 1", "1 ", "+1", "1.0", "007", "1e2", "0x1", "1_0", "-6", "1001", "9" * 20, "९", "1\n", "--1",
            float("nan"), float("inf"), [], [1], {},
        ],
        "number": [
            None, True, False, -6, 1000.01, 0.001, 1e30, 1e-7, 10**30, 10**5000,
            float("nan"), float("inf"), "NaN", "-Infinity", "sNaN", "1E+9999999", "1e2", "1.", ".5", "01", "+1",
            " 1", "1_0", "१", "0.123", "-5.01", "9" * 17, "", [], [10**5000], {},
        ],
        "enum": [*NO_TEXTS, "", "YES", "yes ", "maybe", "Answer.YES", "yes\0"],
        "array": [None, True, 0, "12", "", {}, {"0": 1}, [], [1, 2, 3, 4], [10], [None], [[1]]],
        "date": [
            *NO_TEXTS,
            "",
            "20240229",
            "2024-W09-4",
            "2024-060",
            "2024-2-9",
            "2023-02-29",
            "2024-13-01",
            "0000-01-01",
            "2019-12-31",
            "2031-01-01",
            "2024-02-29T00:00:00",
            "2024-02-29\n",
            "29.02.2024",
            "२०२४-०२-२९",
        ],
        "moment": [
            *NO_TEXTS,
            "",
            "2024-02-29",
            "2024-02-29T09:30:00",
            "2024-02-29T09:30Z",
            "2024-02-29 09:30:00Z",
            "2024-02-29T09:30:00 05:30",
            "2023-02-29T09:30:00Z",
            "2024-02-29T25:30:00Z",
            "2024-02-29T09:30:00+25:00",
            "2024-02-29T09:30:00Z\n",
        ],
        "yes or no": [*NO_TEXTS, "", "True", "yes", "1", "on", "true\n"],
        "uuid": [
            *NO_TEXTS,
            "",
            "01890a5dac96774bbcceb302099a8057",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
            "0-1-8-9-0-a5dac96774bbcceb302099a8057",
            "01890a5d-ac96-774b-bcce-b302099a805g",
            "01890a5d-ac96-774b-bcce-b302099a8057\n",
        ],
        "alphanumeric": [*NO_TEXTS, "", "a b", "a-b", "a_b", "é", "१", "a\0", "a\n", "a" * 11],
        "no special characters": [
            *NO_TEXTS, "", "a-b", "a_b", "a.b", "<b>", "O'Neil", "a\tb", "a\nb", "a\0", "½", "€", "a\u00a0b", "a" * 21,
        ],
    }
)  # fmt: skip
def test_refuses(kind, value):
    refusal(CATALOGUE[kind], value)


@_each_kind
@example("\0")
@example([{}])
@example(10**5000)
@given(value=_json)
def test_refuses_every_other_value_with_the_same_message(kind, value):
    with suppress(Invalid):
        CATALOGUE[kind].deserialize(value)


@_each_kind
@pytest.mark.parametrize("value", ["", [], {}, "\0" * 5000, 10**30, None], ids=lambda value: f"{value!r:.10}")
def test_says_in_a_sentence_what_would_be_valid(kind, value):
    for sentence in refusal(CATALOGUE[kind], value):
        assert sentence.startswith(("must be ", "must contain ", "must not "))
        assert sentence.endswith(".")


@_each_kind
def test_never_repeats_the_value(kind):
    assert "canary" not in str(refusal(CATALOGUE[kind], "canary-{input}-\x07"))


@_each_kind
@pytest.mark.parametrize(
    "long", ["a" * 10**6, "1" * 10**6, "a@" * 10**6, "http://" + "a." * 10**6], ids=lambda t: t[:9]
)
def test_is_fast_for_a_long_text(kind, long):
    refusal(CATALOGUE[kind], long)


class TestOptions:
    def test_reach_the_field(self):
        schema = Schema.from_dict({"age": validators.whole_number(0, 9, data_key="Age", required=True)})()

        assert schema.load({"Age": 1}) == {"age": 1}
        assert schema.validate({}) == {"Age": ["is missing."]}
        assert schema.validate({"Age": None}) == {"Age": ["must not be null."]}

    @pytest.mark.parametrize(
        ("field", "value"),
        [(validators.date(pre_load=[trim]), " 2024-02-29 "), (validators.uuid(pre_load=[trim]), f" {UUID(int=1)} ")],
        ids=["date", "uuid"],
    )
    def test_sanitize_before_validation(self, field, value):
        assert str(field.deserialize(value)) == value.strip()


class TestString:
    @pytest.mark.parametrize(
        "character", ["\x00", "\x1f", " ", "\x7f", "\x9f", "\xa0", "न", "\u2027", "\u2028", "\u202e", "\u2069"]
    )
    def test_is_documented_as_it_is_validated(self, character):
        field = validators.string(1, 1)
        taken = True

        try:
            field.deserialize(character)
        except Invalid:
            taken = False

        assert (re.search(field.metadata["pattern"], character) is not None) == taken


class TestEmail:
    @given(st.emails())
    def test_round_trips(self, address):
        taken = validators.email().deserialize(address)

        assert taken == address


class TestPhone:
    @given(st.from_regex(r"(\+91|0)?[6-9][0-9]{9}", fullmatch=True))
    def test_round_trips(self, number):
        taken = validators.phone().deserialize(number)

        assert taken == "+91" + number[-10:]
        assert validators.phone().deserialize(taken) == taken


class TestUrl:
    @given(
        st.from_regex(
            r"https?://([a-z][a-z0-9]{0,9}\.){1,4}com(:[1-9][0-9]{0,3})?(/[a-z0-9._~%-]{0,9}){0,3}", fullmatch=True
        )
    )
    def test_round_trips(self, address):
        address = address.replace("%", "%25")

        assert validators.url().deserialize(address) == address

    def test_accepts_other_schemes_if_configured(self):
        field = validators.url(schemes=("wss",))

        assert field.deserialize("wss://example.com/x") == "wss://example.com/x"
        assert "starts with wss://," in refusal(field, "https://example.com")[0]


class TestArray:
    def test_names_the_invalid_items(self):
        assert refusal(CATALOGUE["array"], [1, 10, "x"]) == {
            1: ["must be a whole number from 0 to 9."],
            2: ["must be a whole number from 0 to 9."],
        }

    def test_checks_the_length_before_the_items(self):
        assert refusal(CATALOGUE["array"], ["x"] * 1000) == ["must be a list of 1 to 3 items."]


class TestMoment:
    def test_keeps_the_instant_for_every_offset(self):
        moments = {CATALOGUE["moment"].deserialize(f"2024-02-29T{rest}") for rest in ("15:00:00+05:30", "09:30:00.0Z")}

        assert moments == {dt.datetime(2024, 2, 29, 9, 30, tzinfo=dt.UTC)}

    @given(st.datetimes(), st.integers(-1439, 1439))
    def test_is_in_utc_and_within_the_calendar(self, local, minutes):
        sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
        text = f"{local.isoformat(timespec='seconds')}{sign}{hours:02}:{rest:02}"
        try:
            expected = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
        except OverflowError:
            last, first = dt.datetime.max.replace(tzinfo=dt.UTC), dt.datetime.min.replace(tzinfo=dt.UTC)
            expected = last if minutes < 0 else first

        moment = CATALOGUE["moment"].deserialize(text)

        assert (moment, moment.tzinfo) == (expected, dt.UTC)


class TestDate:
    @given(st.dates())
    def test_accepts_every_day_of_the_calendar(self, day):
        assert validators.date().deserialize(day.isoformat()) == day


class TestNumber:
    @given(st.decimals(-5, 1000, places=2))
    def test_is_exact(self, amount):
        assert CATALOGUE["number"].deserialize(f"{amount:f}") == amount


def test_a_required_predicate_returns_the_value():
    check = validators.require(str.isupper, "must be in capitals.")

    assert check("A") == "A"
    with pytest.raises(Invalid, match="must be in capitals"):
        check("a")
