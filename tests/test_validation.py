"""Validation errors, listed by field, for field names from any source."""

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
    def test_returns_the_data_converted_by_the_schema(self):
        assert load(Booking(), {"name": "Asha", "tags": ["a"]}) == {"name": "Asha", "tags": ["a"]}

    def test_reports_all_invalid_fields_sorted_by_name(self):
        error = refusal({"zebra": 1, "apple": 1})

        assert error.message == "apple is not a known field. name is missing. zebra is not a known field."
        assert list(error.details) == ["apple", "name", "zebra"]

    def test_joins_the_names_of_nested_fields_with_dots(self):
        error = refusal({"name": "Asha", "tags": ["a", 1], "legs": [{}, {"number": 2}]})

        assert error.details == {
            "legs.0.number": ["is missing."],
            "legs.1.number": ["must be a text."],
            "tags.1": ["must be a text."],
        }

    @pytest.mark.parametrize("data", [None, [], "text", 1, True])
    def test_reports_errors_of_the_whole_object_under_an_empty_name(self, data):
        error = refusal(data)

        assert (error.message, error.details) == ("The request must be an object.", {"": ["must be an object."]})

    def test_reports_errors_of_a_nested_object_under_its_name(self):
        assert list(refusal({"name": "Asha", "legs": ["x"]}).details) == ["legs.0"]

    def test_omits_the_error_of_the_library_from_the_traceback(self):
        assert refusal({}).__suppress_context__

    def test_shortens_long_names(self):
        (name,) = set(refusal({"name": "Asha", "x" * 100_000: 1}).details)

        assert name == "x" * 63 + "…"

    def test_replaces_control_characters_and_lone_surrogates(self):
        error = refusal({"name": "Asha", "a\n\0\ud800": 1})

        assert list(error.details) == ["a\ufffd\ufffd\ufffd"]

    def test_lists_at_most_50_names(self):
        assert len(refusal({f"field{number}": 1 for number in range(10_000)}).details) == 50

    @given(st.dictionaries(st.text(st.characters()), st.none() | st.integers(), min_size=1))
    def test_always_returns_encodable_text(self, data):
        error = refusal({**data, "name": 0})

        json.dumps([error.message, error.details], ensure_ascii=False).encode()
