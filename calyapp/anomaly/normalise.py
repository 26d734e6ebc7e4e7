"""Decodes a value as other programs might, and removes what hides a word. Takes linear time."""

import binascii
import html
import re
import sys
import unicodedata
from collections.abc import Iterator

MAX_TEXT_LENGTH = 2_048
"""The characters of one window. A longer value has several windows."""

_OVERLAP = 256
_MAX_WINDOWS = 3  # the start, the end, and one around the first typical word of an attack between them
_ROUNDS = 3

_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_PERCENT_U = re.compile(r"%u([0-9a-fA-F]{4})", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u(?:([0-9a-fA-F]{4})|\{([0-9a-fA-F]{2,6})\})|x([0-9a-fA-F]{2})|([0-3]?[0-7]{2}))")
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
_ENTITY = re.compile(r"&#|&[A-Za-z]{2,8};|&(?:lt|gt|quot|amp)", re.IGNORECASE)
_WIDE = re.compile(r"[\uff01-\uff5e\u02b9\u02bc\u2032\u2013\ufe64\ufe65]")
_LIKE_QUOTES = str.maketrans(
    {"\u02b9": "'", "\u02bc": "'", "\u2032": "'", "\u2013": "--", "\ufe64": "<", "\ufe65": ">"}
)
_UTF_7 = {"+ADw-": "<", "+AD4-": ">", "+ACI-": '"', "+ACc-": "'"}
_SEVEN_BIT = str.maketrans({"¼": "<", "¾": ">", "¢": '"'})
_SPACED_OUT = re.compile(r"(?:%[g-z]|%[a-f](?![0-9a-f])){3,}|(?:[a-z]%(?:[g-z]|[a-f][g-z])[^%]{0,8}){2}", re.IGNORECASE)
_RUN = re.compile(r"(.)\1{15,}", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{15,4096}={0,2}")
_TYPICAL_WORD = re.compile(
    r"union|select|sleep|waitfor|script|alert|onerror|onload|/etc/|/bin/|passwd|whoami|\$\(|(?:'|\")\s?\)?\s?(?:or|and)\b",
    re.IGNORECASE,
)


def windows(value: str) -> tuple[str, ...]:
    """Returns the parts of the value to inspect: all of a short value; of a long one the start, the end and one part.

    Collapses runs of one character first, so that padding moves nothing out of the windows.
    """
    if len(value) > MAX_TEXT_LENGTH:
        value = _RUN.sub(r"\1\1\1\1", value)
    if len(value) <= MAX_TEXT_LENGTH:
        return (value,)
    start, end = value[:MAX_TEXT_LENGTH], value[-MAX_TEXT_LENGTH:]
    between = _TYPICAL_WORD.search(value, MAX_TEXT_LENGTH - _OVERLAP, len(value) - MAX_TEXT_LENGTH + _OVERLAP)
    if between is None:
        return start, end
    first = between.start() - MAX_TEXT_LENGTH // 2
    return start, value[first : first + MAX_TEXT_LENGTH], end


def readings(text: str) -> tuple[str, ...]:
    """Returns the text, and its decoded forms where they differ."""
    decoded = _decoded(text)
    return tuple(dict.fromkeys((text, decoded, *_from_base64(decoded))))


def _decoded(text: str) -> str:
    for _ in range(_ROUNDS):
        before = text
        if "%" in text:
            text = _PERCENT.sub(_decode_percent, _PERCENT_U.sub(_decode_code, text))
        if "&" in text and _ENTITY.search(text):
            text = html.unescape(text)
        if "\\" in text:
            text = _ESCAPE.sub(_decode_escape, text)
        if text == before:
            break
    return _without_disguise(text)


def _without_disguise(text: str) -> str:
    if not text.isascii():
        if _WIDE.search(text):
            text = unicodedata.normalize("NFKC", text.translate(_LIKE_QUOTES))
        if "¼" in text:
            text = text.translate(_SEVEN_BIT)
    if "+A" in text:
        for written, meant in _UTF_7.items():
            text = text.replace(written, meant)
    return text.replace("%", "") if "%" in text and _SPACED_OUT.search(text) else text


def _decode_percent(match: re.Match[str]) -> str:
    octets = bytes.fromhex(match[0].replace("%", ""))
    return _OVERLONG.sub(_decode_overlong, octets).decode("utf-8", "replace")


def _decode_overlong(match: re.Match[bytes]) -> bytes:
    """Returns the ASCII character of an overlong UTF-8 sequence, which a lax decoder accepts."""
    return bytes([(match[0][-2] & 1) << 6 | match[0][-1] & 0x3F])


def _decode_code(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _decode_escape(match: re.Match[str]) -> str:
    hexadecimal = match[1] or match[2] or match[3]
    code = int(hexadecimal, 16) if hexadecimal else int(match[4], 8)
    return chr(code) if code <= sys.maxunicode else match[0]


def _from_base64(text: str) -> Iterator[str]:
    """Yields the decoded text if the whole text is base64. An id of the same characters decodes to no text."""
    if len(text) % 4 == 0 and _BASE64.fullmatch(text):
        decoded = binascii.a2b_base64(text)
        if decoded.isascii() and (inside := decoded.decode()).isprintable():
            yield inside
