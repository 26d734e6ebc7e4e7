"""Telephone numbers: one E.164 form for all formats of a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.phone import e164, withheld

# Formats of an Indian number that networks and people use, given the number without country code and trunk zero.
national = st.from_regex(r"[1-9][0-9]{9}", fullmatch=True)
SHAPES = (
    "{0}",
    "0{0}",
    "91{0}",
    "+91{0}",
    " 91{0}",
    "+910{0}",
    "0091{0}",
    "tel:+91{0}",
    "tel:0{0}",
    "+91 {1} {2}",
    "0{1}-{2}",
    "(0{3}) {4}-{5}",
    "+91 (0){3} {4} {5}",
    "91-{3}-{4}-{5}",
)


def written(shape: str, number: str) -> str:
    return shape.format(number, number[:5], number[5:], number[:2], number[2:6], number[6:])


class TestE164:
    @pytest.mark.parametrize(
        "raw",
        [
            "08047112345",
            "8047112345",
            "+91 80471 12345",
            "918047112345",
            " 918047112345",
            "00918047112345",
            "0091 80 4711 2345",
            "tel:+91-80-4711-2345",
            "TEL:08047112345;ext=4",
            "(080) 4711-2345",
            "(+91) 80471.12345",
            "+91 (0)80 4711 2345",
            "८०४७११२३४५",
        ],
    )
    def test_is_the_same_for_all_formats_of_an_indian_number(self, raw: str) -> None:
        assert e164(raw) == "+918047112345"

    @pytest.mark.parametrize("raw", ["08000000010", "04000000011", "01100000012", "09000000001"])
    def test_does_not_require_an_assigned_number(self, raw: str) -> None:
        assert e164(raw) == "+91" + raw[1:]

    @given(national, st.sampled_from(SHAPES))
    def test_is_the_same_for_all_formats_of_every_indian_number(self, number: str, shape: str) -> None:
        assert e164(written(shape, number)) == "+91" + number

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ("+14155550100", "+14155550100"),
            (" 14155550100", "+14155550100"),
            ("0014155550100", "+14155550100"),
            ("+1 (415) 555-0100", "+14155550100"),
            ("+44 20 7946 0018", "+442079460018"),
            ("+6512345678", "+6512345678"),  # ten digits, but not Indian
            ("1800 111 2222", "+9118001112222"),  # toll-free, longer than others
        ],
    )
    def test_accepts_other_countries_and_toll_free_numbers(self, raw: str, expected: str) -> None:
        assert e164(raw) == expected

    @pytest.mark.parametrize(
        "raw",
        [
            "",
            " ",
            "+",
            "anonymous",
            "Unknown",
            "null",
            "{{From}}",
            "sip:agent",
            "sip:08047112345@pbx.example",
            "agent8047112345",
            "1-800-FLOWERS",
            "100",
            "112",
            "1860",
            "12345678",
            "14155550100",  # American without a plus, or a typing error: ambiguous
            "00000000000",
            "+910000000000",
            "8047112345,8047112346",
            "8047112345\x00",
            "\x00",
            "\ud800",
            "²³",
            "8" * 300,
            "x" * 300,
        ],
    )
    def test_is_none_for_an_invalid_number(self, raw: str) -> None:
        assert e164(raw) is None

    @given(
        st.one_of(st.text(), st.text("+0123456789 ()-.;tel:"), st.from_regex(r"[+ 0]{0,4}[0-9]{5,16}", fullmatch=True))
    )
    def test_never_raises_and_is_idempotent(self, raw: str) -> None:
        number = e164(raw)

        assert number is None or (number[0] == "+" and number[1:].isdecimal() and e164(number) == number)


class TestWithheld:
    @pytest.mark.parametrize("raw", ["", " ", "anonymous", "Unknown", "Restricted", "null", "+", "{{From}}"])
    def test_is_true_without_a_digit(self, raw: str) -> None:
        assert withheld(raw)

    @pytest.mark.parametrize("raw", ["100", "08047112345", "sip:agent", "SIP:agent", "<Sip:agent@pbx>", "८०४७"])
    def test_is_false_for_a_number_and_for_an_address(self, raw: str) -> None:
        assert not withheld(raw)
