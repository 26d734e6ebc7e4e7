import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import fields

from calyapp.web.schemas.sanitizers import escape, lower, strip_control_characters, trim, upper

ALL = [trim, lower, upper, escape, strip_control_characters]
_any_text = st.text(st.characters())


@pytest.mark.parametrize(
    ("sanitize", "before", "after"),
    [
        (trim, " \t a b \r\n", "a b"),
        (trim, "\u00a0\u3000a", "a"),
        (trim, "", ""),
        (lower, "ASHA@Example.COM", "asha@example.com"),
        (lower, "ÄÉ", "äé"),
        (upper, "ka-01", "KA-01"),
        (escape, "<b>\"Tom\" & 'Jerry'</b>", "&lt;b&gt;&#34;Tom&#34; &amp; &#39;Jerry&#39;&lt;/b&gt;"),
        (escape, "&amp;", "&amp;amp;"),
        (escape, "आशा", "आशा"),
        (strip_control_characters, "a\0b\r\n\tc\x7f\x85\x9f", "abc"),
        (strip_control_characters, "a\ud800b\udfff", "ab"),
        (strip_control_characters, "a\u2028\u2029b", "ab"),
        (strip_control_characters, "gpj.\u202eexe\u2066", "gpj.exe"),
        (strip_control_characters, "क्\u200dष क्\u200cष 👩\u200d⚕️", "क्\u200dष क्\u200cष 👩\u200d⚕️"),
    ],
)
def test_normalises_a_text(sanitize, before, after):
    assert sanitize(before) == after


@pytest.mark.parametrize("sanitize", ALL)
@given(text=_any_text)
def test_is_idempotent(sanitize, text):
    once = sanitize(text)

    assert sanitize(once) == once


@pytest.mark.parametrize("sanitize", ALL)
@pytest.mark.parametrize("value", [None, 1, 1.5, True, [" A "], {" A ": " A "}], ids=repr)
def test_leaves_other_values_unchanged(sanitize, value):
    assert sanitize(value) is value


@given(_any_text)
def test_a_stripped_text_can_be_stored(text):
    stripped = strip_control_characters(text)

    assert "\0" not in stripped
    assert stripped.encode().decode() == stripped


@given(_any_text)
def test_an_escaped_text_contains_no_markup(text):
    assert not set(escape(text)) & set("<>\"'")


def test_works_before_a_field_in_the_order_given():
    field = fields.String(pre_load=[strip_control_characters, trim, upper, escape])

    assert field.deserialize(" \0 a&b ") == "A&amp;B"
