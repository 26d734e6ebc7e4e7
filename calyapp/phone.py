"""Telephone numbers as people and networks write them, and the one form (E.164) by which they are compared.

Knows nothing of who owns a number, nor whether it is in service.
"""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult

HOME = "IN"
MAX_LENGTH = 64  # characters; also bounds what the cache can hold

_WRITTEN = re.compile(r"(?:tel:)?([\d\s()./+-]+)(?:;.*)?", re.IGNORECASE)
_INDIAN = re.compile(r"(?:(?:\+|00)?91)?0?([1-9]\d{9})")


def e164(raw: str) -> str | None:
    """The number as `+` and digits, or None if the text is not a number that can be dialled from anywhere.

    Never raises. Numbers without a country are Indian, with or without the trunk zero. They need only be
    possible, not assigned: numbering plans grow faster than libraries, and callers would pay for that.
    """
    return _e164(raw) if len(raw) <= MAX_LENGTH else None


def withheld(raw: str) -> bool:
    """Whether the caller hides the number: empty, `anonymous`, `Unknown`… No digit and no `sip:` address."""
    return "sip:" not in raw.lower() and not any(character.isdecimal() for character in raw)


@lru_cache(maxsize=4096)
def _e164(raw: str) -> str | None:
    written = _WRITTEN.fullmatch(raw.strip())
    if not written:
        return None
    number = _compact(written[1])
    # Decided here because the library strips 91 only before numbers that it believes to be assigned.
    if indian := _INDIAN.fullmatch(number):
        return "+91" + indian[1]
    # A plus that was not escaped in a form arrives as a space.
    return _other("+" + number if raw.startswith(" ") else number)


def _compact(written: str) -> str:
    digits = phonenumbers.normalize_digits_only(written)
    return "+" + digits if "+" in written else digits


def _other(number: str) -> str | None:
    parsed = _parsed(number)
    if not parsed or not _dialable(number, parsed):
        return None
    result = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    # With stray zeros the library peels one more at each reading: not a number, and no form to compare by.
    return result if _parsed(result) == parsed else None


def _parsed(number: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(number, HOME)
    except NumberParseException:
        return None


def _dialable(number: str, parsed: PhoneNumber) -> bool:
    """Without a country what is valid at home (toll-free numbers are longer), with one what is possible."""
    if not number.startswith(("+", "00")):
        return phonenumbers.is_valid_number(parsed)
    # "Possible only locally" is not enough: without its area code nobody elsewhere could dial it.
    return phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
