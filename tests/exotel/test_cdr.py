import csv
import hashlib
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.errors import ValidationError
from calyapp.exotel import cdr

names = st.text("abcXYZ_0", min_size=1, max_size=8).filter(lambda name: name != "CallSid")
cells = st.text(st.characters(exclude_categories=["Cs"]))


def file(content: str | bytes) -> io.BytesIO:
    return io.BytesIO(content.encode() if isinstance(content, str) else content)


def read(content: str | bytes) -> list[tuple[int, dict[str, str]]]:
    cdr.check(file(content))
    return [(row.line, dict(row.parameters)) for row in cdr.rows(file(content))]


def refusal(content: str | bytes) -> dict:
    with pytest.raises(ValidationError) as error:
        cdr.check(file(content))
    assert error.value.message.startswith("Nothing was imported. ")
    return dict(error.value.details)


class TestCheck:
    def test_returns_rows_size_and_digest(self):
        content = b"CallSid,Status\r\ns1,completed\r\n\r\ns2,busy"

        checked = cdr.check(file(content))

        assert checked == cdr.CheckedFile(2, len(content), hashlib.sha256(content).hexdigest())

    @pytest.mark.parametrize("content", ["", "\r\n\n", "\ufeff"])
    def test_refuses_a_file_without_a_header(self, content):
        assert refusal(content) == {"file": ["is empty: its first line must name the columns."]}

    def test_reports_all_errors_of_the_header(self):
        assert refusal(f"Status,,Status,{'x' * 65},a\tb\n") == {
            "header": [
                "has no column CallSid.",
                "names the column 'Status' more than once.",
                "has a column without a name.",
                "has a column name longer than 64 characters, or one that cannot be printed.",
            ]
        }

    def test_refuses_more_than_200_columns(self):
        assert refusal(",".join(["CallSid", *map(str, range(200))])) == {"header": ["has more than 200 columns."]}

    def test_reports_each_row_with_too_many_cells_by_its_first_line(self):
        content = 'CallSid,From\ns1,1,2\ns2,"a\nb"\n\ns3,"a\nb",3,4\n'

        assert refusal(content) == {
            "line 2": ["has 3 cells, but the header has 2."],
            "line 6": ["has 4 cells, but the header has 2."],
        }

    def test_reports_20_errors_at_most(self):
        assert len(refusal("CallSid\n" + "s1,2\n" * 1_000)) == 20

    @pytest.mark.parametrize(
        ("content", "expected_place", "text"),
        [
            ('CallSid,From\ns1,1\ns2,"open\ns3,1\n', "line 3", "opens a quotation mark that is never closed."),
            ('CallSid\n"s1"x\n', "line 2", "continues after a closing quotation mark"),
            ("CallSid\ns1\n" + "x" * 200_000, "line 3", "has a cell of more than 131072 characters"),
            ("CallSid\ns1" + ",x" * 200_000, "line 2", "begins a row of more than 256 KiB"),
            ("CallSid\ns1\n" + '"x\n",' * 100_000, "line 3", "begins a row of more than 256 KiB"),
            ("CallSid\rs1\r", "line 1", "has an unknown line break"),
            ("CallSid" + "\n" * 200_001, "line 200001", "is above the limit of 200000 lines: split the file."),
            (b"CallSid\ns1\nn\xe9e\n", "line 3", "is not UTF-8; save it as “CSV UTF-8”."),
            ("CallSid\ns1\n".encode("utf-16"), "line 1", "is UTF-16; save it as “CSV UTF-8”."),
            ("\ufeffCallSid\ns1\n".encode("utf-16-be"), "line 1", "is UTF-16; save it as “CSV UTF-8”."),
        ],
        ids=["open", "after", "long", "row", "row of lines", "CR", "lines", "Latin-1", "UTF-16", "UTF-16 BE"],
    )
    def test_reports_the_line_that_cannot_be_read(self, content, expected_place, text):
        ((place, (sentence,)),) = refusal(content).items()

        assert (place, sentence[: len(text)]) == (expected_place, text)

    def test_bounds_a_row_and_not_the_file(self):
        content = "CallSid,From\n" + "".join(f'{number},"{"x" * 99_999}\n"\n' for number in range(4))

        assert [line for line, _ in read(content)] == [2, 4, 6, 8]

    def test_needs_memory_for_one_row(self):
        content = file("CallSid,From\n" + "s1,0123456789\n" * 20_000)
        tracemalloc.start()

        cdr.check(content)
        for _ in cdr.rows(content):
            pass
        _, peak = tracemalloc.get_traced_memory()

        tracemalloc.stop()
        assert peak < 150_000


class TestRows:
    def test_match_columns_by_name_in_any_order(self):
        assert read("\ufeff From ,CallSid,Brand New\n1,s1,x\n") == [
            (2, {"From": "1", "CallSid": "s1", "Brand New": "x"})
        ]

    def test_may_lack_cells_at_the_end(self):
        assert read("CallSid,From,To\ns1\ns2,1\n") == [(2, {"CallSid": "s1"}), (3, {"CallSid": "s2", "From": "1"})]

    def test_keep_formulas_unchanged(self):
        assert read("CallSid,From\ns1,\"=cmd|' /C calc'!A0\"\n") == [
            (2, {"CallSid": "s1", "From": "=cmd|' /C calc'!A0"})
        ]

    def test_mask_webhook_keys(self):
        assert read("CallSid,Url\ns1,https://c/?key=cwk_0123456789\n")[0][1]["Url"] == "https://c/?key=cwk_***"

    @given(st.lists(names, unique=True, max_size=4), st.data())
    def test_round_trip(self, others, data):
        columns = data.draw(st.permutations(["CallSid", *others]))
        written = data.draw(st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)).filter(any)))
        text = io.StringIO(newline="")
        csv.writer(text).writerows([columns, *written])

        parsed = [row for _, row in read(text.getvalue().encode())]

        assert parsed == [dict(zip(columns, row, strict=True)) for row in written]
