"""Secrets come by standard input: what stands in a command line is seen by everybody on the host."""

import sys

from calyapp.errors import ValidationError


def read_line(what: str) -> str:
    """The next line, without its end, in UTF-8 whatever the locale. Raises `ValidationError` for what is none."""
    line = sys.stdin.buffer.readline()
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")  # Windows puts a mark before it
    except UnicodeDecodeError:
        raise ValidationError(f"The {what} must be written in UTF-8.") from None
