import io
from types import SimpleNamespace

import click
import pytest
from terminal import Terminal

from calyapp.cli import standard_input
from calyapp.cli.standard_input import SecretValue
from calyapp.errors import ValidationError
from calyapp.setting_kinds import DATABASE_URL


@pytest.fixture
def given(monkeypatch):
    """`given(content)` provides these bytes on standard input."""
    return lambda content: monkeypatch.setattr(
        "sys.stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False)
    )


def test_lines_are_read_in_order_without_line_ends_and_byte_order_mark(given):
    given("\ufeffनमस्ते\r\n two \nlast".encode())

    assert [standard_input.read_line("word") for _ in range(4)] == ["नमस्ते", " two ", "last", ""]


def test_invalid_utf8_is_refused_without_repeating_it(given):
    given(b"canary\xff\n")

    with pytest.raises(ValidationError, match=r"The word must be written in UTF-8\.") as refusal:
        standard_input.read_line("word")
    assert "canary" not in str(refusal.value)


def test_a_file_is_not_read_from_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: True))

    with pytest.raises(ValidationError, match="redirect a file into the command"):
        standard_input.read_file()


@pytest.fixture
def on_terminal(database_url, tmp_path):
    """`on_terminal(*arguments)` starts a command on a terminal."""
    return lambda *arguments: Terminal(*arguments, DATABASE_URL=database_url, SPOOL_DIR=str(tmp_path / "spool"))


class TestPassword:
    def test_is_asked_for_twice_without_echo(self, on_terminal, query):
        terminal = on_terminal("users", "add", "--email", "asha@caly.example", "--role", "admin")

        terminal.answer("Password: ", "short\n")
        terminal.answer("Password: ", "seven lamps by the ghat\n")
        terminal.answer("Repeat the password: ", "seven lamps by the gate\n")
        terminal.answer("Password: ", "seven lamps by the ghat\n")
        terminal.answer("Repeat the password: ", "seven lamps by the ghat\n")

        assert terminal.end() == 0
        assert "seven" not in terminal.output
        assert query("SELECT email FROM users") == [("asha@caly.example",)]

    def test_is_not_stored_after_ctrl_c(self, on_terminal, query):
        terminal = on_terminal("users", "add", "--email", "asha@caly.example", "--role", "admin")

        terminal.answer("Password: ", "\x03")

        assert terminal.end() == 130
        assert "Traceback" not in terminal.output
        assert query("SELECT email FROM users") == []

    def test_requires_the_option_without_a_terminal(self, caly):
        result = caly("users", "add", "--email", "asha@caly.example", "--role", "admin")

        assert result.exit_code == 2
        assert "pipe the password into the command and add --password-stdin." in result.stderr


class TestConfirmation:
    @pytest.fixture
    def enabled(self, query, asha):
        return lambda: query("SELECT disabled_at IS NULL FROM clients") == [(True,)]

    @pytest.mark.parametrize(
        ("answer", "exit_code", "stays"), [("n\n", 1, True), ("y\n", 0, False), ("\x03", 130, True)]
    )
    def test_names_the_consequence(self, on_terminal, enabled, answer, exit_code, stays):
        terminal = on_terminal("clients", "disable", "Asha Clinics")

        terminal.answer("Disable 'Asha Clinics'? [y/N]: ", answer)

        assert terminal.end() == exit_code
        assert "Calls to its numbers are no longer answered: +918047112345." in terminal.output
        assert enabled() is stays

    def test_is_not_asked_for_with_yes(self, on_terminal, enabled):
        assert on_terminal("clients", "disable", "Asha Clinics", "--yes").end() == 0
        assert not enabled()

    def test_is_not_asked_for_without_a_terminal(self, caly, enabled):
        assert caly("clients", "disable", "Asha Clinics").exit_code == 0
        assert not enabled()


class TestSecretValue:
    """`simulate --key`, as example also of `--into` and `--database-url`."""

    @pytest.fixture
    def convert(self):
        return lambda text: SecretValue("url", DATABASE_URL).convert(text, None, None).reveal()

    def test_comes_from_a_file(self, convert, tmp_path):
        (tmp_path / "url").write_text("postgresql://h/d\nmore\n")

        assert convert(f"@{tmp_path / 'url'}") == "postgresql+psycopg2://h/d"

    def test_comes_from_standard_input(self, convert, given):
        given(b"postgresql://h/d\n")

        assert convert("-") == "postgresql+psycopg2://h/d"

    def test_may_be_an_argument(self, convert):
        assert convert("postgresql://h/d") == "postgresql+psycopg2://h/d"

    @pytest.mark.parametrize("text", ["mysql://u:canary@h/d", "@/nowhere"])
    def test_is_refused_without_repeating_it_if_it_cannot_be_read(self, convert, text):
        with pytest.raises(click.BadParameter) as refusal:
            convert(text)

        assert "canary" not in refusal.value.message

    def test_is_asked_for_on_a_terminal_without_echo(self, on_terminal, asha):
        terminal = on_terminal(
            "simulate",
            "--base-url",
            "http://127.0.0.1:1",
            "--number",
            asha["numbers"][0],
            "--calls",
            "1",
            "--settle",
            "0",
            "--compress",
            "1e9",
            "--key",
            "-",
        )

        terminal.answer("Key: ", "canary\n")

        assert terminal.end() == 1
        assert "canary" not in terminal.output
        assert "No delivery was acknowledged" in terminal.output
