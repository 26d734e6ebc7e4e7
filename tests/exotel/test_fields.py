import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.exotel.fields import Fields

LEGS = [{"Status": "busy", "Insights": {"Status": "x"}}, {"Status": "completed", "OnCallDuration": 15}]


def fields(**texts: str) -> Fields:
    return Fields(texts.items())


class TestText:
    @pytest.mark.parametrize("empty", ["", "  ", "null", "NULL"])
    def test_is_the_first_that_says_something(self, empty):
        assert fields(CallTo=empty, To=" 91").text("CallTo", "To") == " 91"

    def test_is_the_first_of_a_repeated_name(self):
        assert Fields([("a", "1"), ("a", "2")]).text("a") == "1"

    def test_is_empty_if_the_name_is_missing(self):
        assert fields().text("a", "b") == ""


def test_a_raw_text_may_be_blank():
    sent = fields(From=" ", CallFrom="null")

    assert sent.raw("CallFrom", "From") == "null"
    assert sent.raw("FromNumber", "From") == " "


@pytest.mark.parametrize("written", ["in-progress", "In_Progress", " IN-PROGRESS "])
def test_a_word_has_one_spelling(written):
    assert fields(Status=written).word("CallStatus", "Status") == "in-progress"


class TestPresence:
    @pytest.mark.parametrize("name", ["Legs", "Legs[0]", "Legs[0][Status]", "Legs[]"])
    def test_includes_blank_texts_and_groups(self, name):
        assert Fields([(name, "")]).has("Stream", "Legs")

    def test_distinguishes_a_group_from_a_text(self):
        sent = Fields([("From[0]", "1"), ("To", "2"), ("To[0]", "3")])

        assert (sent.is_group("From"), sent.is_group("To"), sent.is_group("CallSid")) == (True, False, False)


class TestGroup:
    @pytest.mark.parametrize(
        "legs",
        [
            Fields([("Legs[1][OnCallDuration]", "15"), ("Legs[0][Status]", "busy"), ("Legs[1][Status]", "completed")]),
            fields(Legs=json.dumps(LEGS)),
            fields(Legs=json.dumps(dict(enumerate(LEGS)))),
        ],
        ids=["bracket keys", "a JSON list", "a JSON map"],
    )
    def test_has_members_in_order(self, legs):
        first, second, *others = legs.members("Legs")

        assert (first.text("Status"), second.text("Status")) == ("busy", "completed")
        assert second.text("OnCallDuration") == "15"
        assert not any(other.has("Status") for other in others)

    def test_can_be_nested(self):
        sent = Fields([("Legs[1][Insights][Status]", "completed")])

        assert sent.group("Legs").group("1").group("Insights").text("Status") == "completed"

    @pytest.mark.parametrize("broken", ['{"Status": "comp', "{", "[1, 2]", "[" * 100_000, '"{}"', "nonsense", "{}"])
    def test_of_broken_json_has_no_members(self, broken):
        assert fields(Stream=broken).group("Stream").text("Status") == ""

    @given(st.dictionaries(st.text(), st.text()), st.text())
    def test_never_raises(self, texts, name):
        sent = Fields(texts.items())

        assert isinstance(sent.group(name).text("Status"), str)
        assert isinstance(sent.members(name), list)
