"""Texts made uniform before they are validated: functions for the `pre_load` of a marshmallow field.

What is no text passes untouched, for the field to refuse. Each does nothing the second time.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from markupsafe import escape as _escape

# Beyond ASCII's and Latin-1's: halves of surrogate pairs (PostgreSQL and UTF-8 take none), line and paragraph
# separators, and what turns the direction of the text that follows. Joiners stay: Indian scripts are written with them.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _of_texts(change: Callable[[str], str]) -> Callable[[Any], Any]:
    @wraps(change)
    def sanitize(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    return sanitize


@_of_texts
def trim(text: str) -> str:
    """Without blanks around it."""
    return text.strip()


@_of_texts
def lower(text: str) -> str:
    """In small letters."""
    return text.lower()


@_of_texts
def upper(text: str) -> str:
    """In capital letters."""
    return text.upper()


@_of_texts
def escape(text: str) -> str:
    """As HTML shows it literally, for what builds HTML without templates, which escape by themselves.

    The result is marked as `Markup`, by which it is known not to be escaped again.
    """
    return _escape(text)


@_of_texts
def strip_control_characters(text: str) -> str:
    """Without `CONTROL_CHARACTERS`, line ends and tabs among them."""
    return CONTROL_CHARACTERS.sub("", text)
