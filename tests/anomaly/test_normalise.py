import pytest

from calyapp.anomaly.normalise import MAX_TEXT_LENGTH, readings, windows


class TestReadings:
    @pytest.mark.parametrize(
        "written",
        [
            "%27",
            "%2527",
            "%252527",
            "%u0027",
            "&#39;",
            "&#x27;",
            "&apos;",
            "\\u0027",
            "\\x27",
            "\\047",
            "\\47",
            "\\u{27}",
            "%c0%a7",
            "%e0%80%a7",
            "＇",
            "ʼ",
            "%ef%bc%87",
            "+ACc-",
        ],
    )
    def test_decode_every_escape(self, written):
        assert "'" in readings(written)

    def test_decode_an_escape_only_up_to_its_end(self):
        assert "<e>" in readings("\\u003ce\\u003e")

    def test_keep_an_escape_that_is_not_a_character(self):
        assert readings("\\u{ffffff}") == ("\\u{ffffff}",)

    def test_begin_with_the_unchanged_text(self):
        assert readings("a%41") == ("a%41", "aA")

    def test_contain_only_the_text_if_it_is_plain(self):
        assert readings("A & B, 100% sure") == ("A & B, 100% sure",)

    def test_join_a_word_that_is_split_by_percent_signs(self):
        assert "SELECT" in readings("%S%E%L%E%C%T")

    def test_decode_base64_but_not_an_id(self):
        assert "plain text, encoded" in readings("cGxhaW4gdGV4dCwgZW5jb2RlZAA="[:-4] + "ZA==")
        assert readings("b6a7f3d2c1e04f5a9b8c7d6e5f4a3b2c") == ("b6a7f3d2c1e04f5a9b8c7d6e5f4a3b2c",)


class TestWindows:
    def test_of_a_short_value_are_the_value(self):
        assert windows("a" * MAX_TEXT_LENGTH) == ("a" * MAX_TEXT_LENGTH,)

    def test_of_a_padded_value_omit_the_padding(self):
        assert windows("a" * 50_000 + "<script>") == ("aaaa<script>",)

    def test_of_a_long_value_are_its_start_and_its_end(self):
        value = "".join(f"{n}." for n in range(5_000))

        assert windows(value) == (value[:MAX_TEXT_LENGTH], value[-MAX_TEXT_LENGTH:])

    def test_of_a_long_value_include_conspicuous_parts_in_the_middle(self):
        value = "a b. " * 2_000 + "<script>" + "a b. " * 2_000

        assert any("<script>" in window for window in windows(value))
        assert all(len(window) <= MAX_TEXT_LENGTH for window in windows(value))
