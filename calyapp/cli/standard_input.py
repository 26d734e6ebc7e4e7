"""Secrets come by standard input: what stands in a command line is seen by everybody on the host."""

import sys
from typing import BinaryIO

from calyapp.errors import ValidationError


def read_line(what: str) -> str:
    """The next line, without its end, in UTF-8 whatever the locale. Raises `ValidationError` for what is none."""
    line = sys.stdin.buffer.readline()
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")  # Windows puts a mark before it
    except UnicodeDecodeError:
        raise ValidationError(f"The {what} must be written in UTF-8.") from None


def read_file() -> BinaryIO:
    """A file that comes through a pipe or a redirection. Raises `ValidationError` if a person would have to type it."""
    if sys.stdin.isatty():
        raise ValidationError("Standard input is a terminal: redirect a file into the command (< FILE), or name one.")
    return sys.stdin.buffer
