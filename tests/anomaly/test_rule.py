import pytest

from calyapp.anomaly.rule import Rule, words_of


def test_words_have_at_least_two_letters():
    assert words_of("a call_me 1st ×é") == {"call", "me", "st"}


class TestRule:
    @pytest.mark.parametrize(("text", "found"), [("sleep(5)", "sleep(5)"), ("nap(5)", None)])
    def test_is_tried_on_a_text_with_its_word(self, text, found):
        match = Rule(r"\w+\(\d\)", words="sleep").search(text, words_of(text))

        assert (match and match[0]) == found

    def test_is_tried_on_a_text_with_its_mark(self):
        rule = Rule("a", "b", marks=(";",))

        assert [match[0] for match in rule.finditer("ab;", words_of("ab;"))] == ["a", "b"]
        assert list(rule.finditer("ab", words_of("ab"))) == []

    def test_is_tried_on_every_text_without_words_and_marks(self):
        assert Rule("a").search("a", words_of("a"))
