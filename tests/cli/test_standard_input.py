import io
from types import SimpleNamespace

import pytest

from calyapp.cli import standard_input
from calyapp.errors import ValidationError


@pytest.fixture
def given(monkeypatch):
    """`given(content)`: these bytes come by standard input."""
    return lambda content: monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_lines_come_in_turn_without_their_ends_and_without_the_mark_of_windows(given):
    given("\ufeffनमस्ते\r\n two \nlast".encode())

    assert [standard_input.read_line("word") for _ in range(4)] == ["नमस्ते", " two ", "last", ""]


def test_what_is_no_utf8_is_refused_without_repeating_it(given):
    given(b"canary\xff\n")

    with pytest.raises(ValidationError, match=r"The word must be written in UTF-8\.") as refusal:
        standard_input.read_line("word")
    assert "canary" not in str(refusal.value)


def test_a_file_is_not_read_from_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: True))

    with pytest.raises(ValidationError, match="redirect a file into the command"):
        standard_input.read_file()
