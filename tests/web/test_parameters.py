import json
from io import BytesIO

import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from calyapp.errors import ValidationError
from calyapp.web import parameters

FIELDS = {"CallSid": "s1", "From": "+919876543210", "CustomField": "नमस्ते & 1=1"}


def request(**options) -> Request:
    return Request(EnvironBuilder(method="POST", **options).get_environ())


def of_json(body: str | bytes) -> list[tuple[str, str]]:
    return parameters.read(request(data=body, content_type="application/json"))


class TestEncodings:
    def test_of_one_delivery_give_the_same_parameters(self):
        queries = parameters.read(request(query_string=FIELDS))
        urlencoded = parameters.read(request(data=FIELDS))
        multipart = parameters.read(request(data=FIELDS, content_type="multipart/form-data"))
        as_json = of_json(json.dumps(FIELDS))

        assert queries == urlencoded == multipart == as_json == list(FIELDS.items())

    def test_of_nested_values_are_the_same_in_json_and_in_a_form(self):
        nested = {"Legs": [{"Status": "busy", "OnCallDuration": 7}], "Stream": {"Error": None, "Ok": True}}
        flat = {"Legs[0][Status]": "busy", "Legs[0][OnCallDuration]": "7", "Stream[Error]": "", "Stream[Ok]": "true"}

        assert of_json(json.dumps(nested)) == parameters.read(request(data=flat))

    def test_keep_the_spelling_of_a_number(self):
        assert of_json('{"a": 1.50, "b": 92233720368547758080, "c": -0}') == [
            ("a", "1.50"),
            ("b", "92233720368547758080"),
            ("c", "-0"),
        ]

    def test_keep_repeated_names_in_json_and_in_forms(self):
        assert of_json('{"a": "1", "a": "2"}') == [("a", "1"), ("a", "2")]
        assert parameters.read(request(data={"a": ["1", "2"]})) == [("a", "1"), ("a", "2")]

    def test_keep_the_text_of_a_part_without_a_name(self):
        body = b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"

        assert parameters.read(request(data=body, content_type="multipart/form-data; boundary=x")) == [("", "1")]

    def test_of_an_unnamed_object_do_not_become_those_of_the_delivery(self):
        assert of_json('{"": {"CallSid": "s1"}}') == [("[CallSid]", "s1")]

    def test_show_an_empty_list_as_present(self):
        assert of_json('{"Legs": []}') == [("Legs[]", "")]

    @given(st.dictionaries(st.text(min_size=1), st.text()))
    def test_of_any_text_in_json_are_unchanged(self, fields):
        plain = {name: text for name, text in fields.items() if name}

        assert of_json(json.dumps(plain)) == list(plain.items())


class TestOrder:
    def test_puts_the_body_before_the_query(self):
        both = request(query_string={"CallSid": "q"}, data={"CallSid": "b"})

        assert parameters.read(both) == [("CallSid", "b"), ("CallSid", "q")]


class TestKey:
    def test_in_the_url_is_not_a_parameter(self):
        assert parameters.read(request(query_string={"key": "cwk_x", "a": "1"})) == [("a", "1")]

    def test_repeated_in_a_text_is_masked_so_that_a_new_key_makes_no_new_delivery(self):
        masked = [
            parameters.read(request(data={"passthru": f'"https://h.example/?key=cwk_{letter * 56}&a=1"'}))
            for letter in "ab"
        ]

        assert masked[0] == masked[1] == [("passthru", '"https://h.example/?key=cwk_***&a=1"')]


class TestBrokenBody:
    @pytest.mark.parametrize(
        "body", ["{", '{"a": NaN}', '{"a": Infinity}', "nonsense", b"\xff\xfe", '{"a":1}}', "[" * 100_000]
    )
    def test_is_refused_if_it_is_not_json(self, body):
        with pytest.raises(ValidationError, match="not valid JSON"):
            of_json(body)

    @pytest.mark.parametrize("body", ["[]", '"text"', "1", "null", "true", "[[1]]"])
    def test_is_refused_if_it_is_not_an_object(self, body):
        with pytest.raises(ValidationError, match="must be a JSON object"):
            of_json(body)

    def test_is_refused_if_it_is_nested_too_deep(self):
        with pytest.raises(ValidationError, match="nested deeper than 64"):
            of_json('{"a":' * 70 + "1" + "}" * 70)

    def test_is_refused_if_flattening_makes_it_too_large(self):
        with pytest.raises(ValidationError, match="long names apply to too many values"):
            of_json(json.dumps({"a" * 100_000: ["x"] * 100_000}))

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n", "multipart/form-data; boundary=x"),
            (b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n", "multipart/form-data"),
            (b"something", "text/plain"),
            (b"something", ""),
        ],
        ids=["cut", "no boundary", "plain text", "no type"],
    )
    def test_is_refused_if_it_contains_no_field(self, body, content_type):
        with pytest.raises(ValidationError, match="contains no field"):
            parameters.read(request(data=body, content_type=content_type))

    def test_is_refused_if_it_is_shorter_than_declared(self):
        cut = EnvironBuilder(method="POST", data={"a": "12345"}).get_environ()
        cut["CONTENT_LENGTH"] = "50"
        cut["wsgi.input_terminated"] = True  # as Gunicorn sets it, with the part that arrived

        with pytest.raises(ValidationError, match="shorter than its Content-Length"):
            parameters.read(Request(cut))

    def test_is_refused_if_the_connection_ends(self):
        class BrokenOff(BytesIO):
            def read(self, _size: int = -1) -> bytes:
                raise ConnectionResetError

        cut = EnvironBuilder(method="POST", data={"a": "12345"}).get_environ()
        cut |= {"wsgi.input": BrokenOff(), "wsgi.input_terminated": True}

        with pytest.raises(ValidationError, match="The connection ended"):
            parameters.read(Request(cut))

    @pytest.mark.parametrize("body", [b"", b"  \r\n"])
    def test_is_not_read_as_empty(self, body):
        assert parameters.read(request(data=body, content_type="application/json", query_string={"a": "1"})) == [
            ("a", "1")
        ]


class TestJsonValue:
    def read(self, body: str | bytes, content_type: str = "application/json"):
        return parameters.json_value(request(data=body, content_type=content_type))

    @pytest.mark.parametrize("value", [{"a": [1, None]}, [], "x", 1.5, None])
    def test_is_read_from_the_body(self, value):
        assert self.read(json.dumps(value)) == value

    @pytest.mark.parametrize("body", ["", "{", b"\xff", "[" * 100_000, "{'a': 1}"])
    def test_is_refused_if_the_body_is_broken(self, body):
        with pytest.raises(ValidationError, match="The body is not valid JSON"):
            self.read(body)

    def test_is_refused_for_a_form(self):
        with pytest.raises(ValidationError, match="Send a JSON object"):
            self.read("a=1", "application/x-www-form-urlencoded")
