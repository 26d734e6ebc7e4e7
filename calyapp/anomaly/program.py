"""Recognises a program or a page: users send them as content, and their syntax is not an attack.

An attack around a program is at its first or last line, so these lines are inspected like any value.
"""

import re

_MAX_INSPECTED = 8_192
_MIN_LINES = 4

_LINE = re.compile(r"^[^\S\n]{0,200}(?=\S)", re.MULTILINE)
_LAID_OUT = re.compile(
    r"^(?:\t| {2}|(?:--|#|//|/\*|\*|<!--)(?=[\s*!]|$)|```|#{1,6} |[|>)}\]])"
    r"|[;{}(\[,:\\>|](?=\s?$)",
    re.MULTILINE | re.IGNORECASE,
)


def is_program(text: str) -> bool:
    """Returns whether the text has several lines, most of them indented or ended by a mark as in a program."""
    if "\n" not in text:
        return False
    text = text[:_MAX_INSPECTED]
    lines = sum(1 for _ in _LINE.finditer(text))
    return lines >= _MIN_LINES and sum(bool(_LAID_OUT.search(line)) for line in text.split("\n")) * 2 >= lines


def edges(text: str) -> tuple[str, str]:
    """Returns the first and the last line that are not blank."""
    text = text.strip()
    return text.partition("\n")[0], text.rpartition("\n")[2]
