"""Tells a program, or a page, from a value: people send them whole, and what they are made of is no attack there.

Somebody who puts an attack around one does so at an edge, so its edges are still looked at like any value.
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
    """Whether the text has several lines, and most are laid out as in a program: set in, or ended by a mark."""
    if "\n" not in text:
        return False
    text = text[:_MAX_INSPECTED]
    lines = sum(1 for _ in _LINE.finditer(text))
    return lines >= _MIN_LINES and sum(bool(_LAID_OUT.search(line)) for line in text.split("\n")) * 2 >= lines


def edges(text: str) -> tuple[str, str]:
    """The first and the last line with anything in them."""
    text = text.strip()
    return text.partition("\n")[0], text.rpartition("\n")[2]
