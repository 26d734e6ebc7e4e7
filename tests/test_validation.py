"""All that is wrong, field by field, whoever chose the names."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, fields

from calyapp.errors import ValidationError
from calyapp.validation import load

_MESSAGES = {"required": "is missing.", "invalid": "must be a text."}


class Leg(Schema):
    number = fields.String(required=True, error_messages=_MESSAGES)


class Booking(Schema):
    error_messages = {"unknown": "is not a known field.", "type": "must be an object."}  # noqa: RUF012

    name = fields.String(required=True, error_messages=_MESSAGES)
    legs = fields.List(fields.Nested(Leg))
    tags = fields.List(fields.String(error_messages=_MESSAGES))


def refusal(data: object) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        load(Booking(), data)
    return raised.value


class TestLoad:
    def test_returns_what_the_schema_makes_of_the_data(self):
        assert load(Booking(), {"name": "Asha", "tags": ["a"]}) == {"name": "Asha", "tags": ["a"]}

    def test_names_every_wrong_field_at_once_in_order_of_names(self):
        error = refusal({"zebra": 1, "apple": 1})

        assert error.message == "apple is not a known field. name is missing. zebra is not a known field."
        assert list(error.details) == ["apple", "name", "zebra"]

    def test_dots_the_names_of_what_is_nested(self):
        error = refusal({"name": "Asha", "tags": ["a", 1], "legs": [{}, {"number": 2}]})

        assert error.details == {
            "legs.0.number": ["is missing."],
            "legs.1.number": ["must be a text."],
            "tags.1": ["must be a text."],
        }

    @pytest.mark.parametrize("data", [None, [], "text", 1, True])
    def test_says_what_is_wrong_with_the_whole_under_no_name(self, data):
        error = refusal(data)

        assert (error.message, error.details) == ("The request must be an object.", {"": ["must be an object."]})

    def test_says_what_is_wrong_with_a_nested_whole_under_its_own_name(self):
        assert list(refusal({"name": "Asha", "legs": ["x"]}).details) == ["legs.0"]

    def test_keeps_the_library_s_error_with_its_values_out_of_the_traceback(self):
        assert refusal({}).__suppress_context__

    def test_shortens_long_names(self):
        (name,) = set(refusal({"name": "Asha", "x" * 100_000: 1}).details)

        assert name == "x" * 63 + "…"

    def test_shows_no_control_character_and_no_half_of_a_surrogate_pair(self):
        error = refusal({"name": "Asha", "a\n\0\ud800": 1})

        assert list(error.details) == ["a\ufffd\ufffd\ufffd"]

    def test_lists_fifty_names_at_most(self):
        assert len(refusal({f"field{number}": 1 for number in range(10_000)}).details) == 50

    @given(st.dictionaries(st.text(st.characters()), st.none() | st.integers(), min_size=1))
    def test_always_makes_something_that_can_be_sent(self, data):
        error = refusal({**data, "name": 0})

        json.dumps([error.message, error.details], ensure_ascii=False).encode()
