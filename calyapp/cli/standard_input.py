"""Secrets come by standard input: what stands in a command line is seen by everybody on the host."""

import sys

from calyapp.errors import ValidationError


def read_line(what: str) -> str:
    """The next line, without its end. Raises `ValidationError` for one that is no UTF-8."""
    line = sys.stdin.buffer.readline()
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValidationError(f"The {what} is not written in UTF-8.") from None
