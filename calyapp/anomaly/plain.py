"""Recognises values that cannot be an attack: an id, a number, a date, words, a clean URL.

Most values are plain, so the test must be cheap.
"""

import re
from functools import lru_cache

_MAX_LENGTH = 8_192
_MAX_CACHED_LENGTH = 256

# A value without any of these has no syntax of any language.
_SYNTAX = re.compile(
    r"""[\x00-\x08\x0b\x0c\x0e-\x1f\x7f'"<>;|&$`(){}\\%#=^~*\n\uff01-\uff5e\ufe64¼\u02b9\u02bc\u2032]"""
)
_PHRASE = re.compile(
    r"--|\?\?|@@|\+a[dc]|/(?:etc|bin|dev)/|union|waitfor|(?:order|group) by \d|sleep \d|net(?:sh)? |netstat -"
    r"| (?:like|between|order by|in|union|is|not|--?[a-z]|/?[a-z]:\\|user\b|/|https?:)"
)
_PLAIN = re.compile(
    r'''"[\w#*+][\w#*+. -]{0,40}"'''
    r"|https?://[\w.-]{1,253}(?::\d{1,5})?(?:/[\w.~@:/-]*+)?(?:\?(?:[\w.~\[\]=&:/@-]++|%(?:2[BCFbcf]|3[ADad]|40))*+)?"
    r"|\([\d ]{1,6}\)[\d -]{4,16}|\*?[\d*#]{1,16}|[\w.+-]{1,40}/[\w.+*-]{1,40}(?:; ?\w{1,20}=[\w.-]{1,80})?|\*/\*"
)
_MAYBE_BASE64 = re.compile(r"(?=[a-z0-9+/]*[A-Z])(?=[A-Za-z+/]*[0-9=])(?=[A-Z0-9+/]*[a-z])[A-Za-z0-9+/]{16,}={0,2}")


def is_plain(value: str) -> bool:
    """Returns whether nothing in the value can be the syntax of an attack. A very long value is never plain."""
    if len(value) > _MAX_LENGTH:
        return False
    if _SYNTAX.search(value) is None and _PHRASE.search(value.lower()) is None:
        return len(value) < 16 or _MAYBE_BASE64.fullmatch(value) is None
    return _PLAIN.fullmatch(value) is not None


def is_plain_again(value: str) -> bool:
    """Like `is_plain`, with a cache for values that recur in every request: names and headers."""
    return _cached(value) if len(value) <= _MAX_CACHED_LENGTH else is_plain(value)


_cached = lru_cache(4_096)(is_plain)
