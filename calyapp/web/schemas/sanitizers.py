"""Sanitizers: functions for the `pre_load` of a marshmallow field that normalise a text before it is validated.

Other values pass unchanged, so that the field refuses them. Applying a sanitizer twice has the effect of once.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from markupsafe import escape as _escape

# The control characters of ASCII and Latin-1, surrogates (invalid in PostgreSQL and UTF-8), line and paragraph
# separators, and characters that change the direction of text. Joiners are allowed: Indian scripts need them.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _of_texts(change: Callable[[str], str]) -> Callable[[Any], Any]:
    @wraps(change)
    def sanitize(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    return sanitize


@_of_texts
def trim(text: str) -> str:
    """Removes white space at both ends."""
    return text.strip()


@_of_texts
def lower(text: str) -> str:
    """Converts to lower case."""
    return text.lower()


@_of_texts
def upper(text: str) -> str:
    """Converts to upper case."""
    return text.upper()


@_of_texts
def escape(text: str) -> str:
    """Escapes HTML, for code that builds HTML without templates, which escape by themselves.

    The result is `Markup`, so that it is not escaped again.
    """
    return _escape(text)


@_of_texts
def strip_control_characters(text: str) -> str:
    """Removes `CONTROL_CHARACTERS`, which include line ends and tabs."""
    return CONTROL_CHARACTERS.sub("", text)
