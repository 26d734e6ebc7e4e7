"""Reads the text back with Python's CSV reader, and checks it for what a spreadsheet would run."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.web.api import csv_text
from calyapp.web.api.csv_text import FORMULA_SIGNS

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.builds(
    lambda sign, rest: sign + rest, st.sampled_from(FORMULA_SIGNS), st.text(alphabet="=1+\"',;\r\n\t x")
)
cells = st.none() | texts | st.integers(-(2**63), 2**63 - 1) | st.dictionaries(texts, texts, max_size=2)
records = st.lists(st.fixed_dictionaries({"a": cells, "b": cells, "ü": cells}))


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def plain(value) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class TestLines:
    @given(records)
    def test_can_be_read_back_except_for_the_mark_on_formulas(self, several):
        read_back = read(csv_text.lines(["a", "b", "ü"], several))

        expected = [[plain(record[name]) for name in ("a", "b", "ü")] for record in several]
        assert [[cell[1:] if cell[:1] == "'" != was[:1] else cell for cell, was in zip(*both, strict=True)]
                for both in zip(read_back, expected, strict=True)] == expected  # fmt: skip

    @given(records)
    def test_contain_no_cell_that_begins_like_a_formula(self, several):
        for row in read(csv_text.lines(["a", "b", "ü"], several)):
            assert [cell for cell in row if cell.startswith(FORMULA_SIGNS)] == []

    @pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＠x", -5])
    def test_show_a_formula_as_its_text(self, cell):
        assert read(csv_text.lines(["a"], [{"a": cell}])) == [[f"'{cell}"]]

    def test_end_as_rfc_4180_requires(self):
        written = csv_text.lines(["a", "b"], [{"a": 'say "no"', "b": "1,5\n2"}, {"a": None, "b": {"x": [1]}}])

        assert written == '"say ""no""","1,5\n2"\r\n,"{""x"":[1]}"\r\n'

    def test_refuse_a_name_without_a_column(self):
        with pytest.raises(ValueError, match="b"):
            csv_text.lines(["a"], [{"a": 1, "b": 2}])


class TestHeader:
    def test_names_the_columns(self):
        assert csv_text.header(["id", "createdAt"]) == "id,createdAt\r\n"
