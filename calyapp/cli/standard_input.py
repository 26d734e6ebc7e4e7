"""Standard input: secrets and confirmations.

A secret must not be part of a command line, because every user of the machine can read command lines.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from calyapp.cli.parameters import LikeSetting
from calyapp.errors import ValidationError

yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def is_terminal() -> bool:
    """Returns whether a person can answer a prompt."""
    return sys.stdin.isatty()


def read_line(what: str) -> str:
    """Returns the next line without its end, decoded as UTF-8. Raises `ValidationError` for another encoding."""
    return _decoded(sys.stdin.buffer.readline(), what)


def read_secret(name: str, option: str, is_given: bool, check: Callable[[str], object]) -> str:
    """Returns a secret. On a terminal it is typed hidden and twice; else it is the next line, if `option` is given.

    `check` raises `ValidationError` for a secret that is not acceptable. On a terminal it can be typed again.
    """
    if is_terminal():
        return _ask(name, check, twice=True)
    if not is_given:
        raise click.UsageError(f"Standard input is not a terminal: pipe the {name} into the command and add {option}.")
    secret = read_line(name)
    check(secret)
    return secret


def confirm(question: str, consequences: Sequence[str], is_given: bool) -> None:
    """On a terminal, prints the consequences and asks. Never asks a script. Raises `click.Abort` for the answer no."""
    if is_given or not is_terminal():
        return
    for consequence in consequences:
        click.echo(f"  {consequence}", err=True)
    click.confirm(question, abort=True, err=True)


class SecretValue(LikeSetting):
    """A secret value. `-` reads it from standard input, or prompts on a terminal; `@FILE` reads it from a file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-":
            name = param.name.replace("_", " ") if param and param.name else self.name
            text = _ask(name, lambda _text: None, twice=False) if is_terminal() else read_line(name)
        elif isinstance(value, str) and value.startswith("@"):
            text = self._line_of(Path(value[1:]), param, ctx)
        else:
            return super().convert(value, param, ctx)
        return super().convert(text, param, ctx)

    def _line_of(self, path: Path, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            with path.open("rb") as file:
                return _decoded(file.readline(), self.name)
        except OSError as error:
            self.fail(f"{path}: {error.strerror}.", param, ctx)


def _ask(name: str, check: Callable[[str], object], *, twice: bool) -> str:
    def checked(text: str) -> str:
        try:
            check(text)
        except ValidationError as error:
            raise click.BadParameter(error.message) from None
        return text

    confirmation = f"Repeat the {name}" if twice else False
    answer: str = click.prompt(
        name[0].upper() + name[1:], hide_input=True, confirmation_prompt=confirmation, value_proc=checked, err=True
    )
    return answer


def _decoded(line: bytes, what: str) -> str:
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")  # Windows writes a byte order mark
    except UnicodeDecodeError:
        raise ValidationError(f"The {what} must be written in UTF-8.") from None


def read_file() -> BinaryIO:
    """Returns standard input as a file. Raises `ValidationError` if it is a terminal."""
    if sys.stdin.isatty():
        raise ValidationError("Standard input is a terminal: redirect a file into the command (< FILE), or name one.")
    return sys.stdin.buffer
