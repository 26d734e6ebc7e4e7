"""Telephone numbers as people and networks write them, and the form (E.164) in which they are compared.

Does not know who owns a number, or whether it is in service.
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
    """Returns the number as `+` and digits, or None if the text is not a number that can be dialled internationally.

    Never raises. A number without a country is Indian, with or without the trunk zero. It must be possible, but need
    not be assigned: numbering plans change faster than libraries, and a caller must not be refused for that.
    """
    return _e164(raw) if len(raw) <= MAX_LENGTH else None


def withheld(raw: str) -> bool:
    """Returns whether the caller hides the number: no digit and no `sip:`, such as empty, `anonymous`, `Unknown`."""
    return "sip:" not in raw.lower() and not any(character.isdecimal() for character in raw)


@lru_cache(maxsize=4096)
def _e164(raw: str) -> str | None:
    written = _WRITTEN.fullmatch(raw.strip())
    if not written:
        return None
    number = _compact(written[1])
    # Not left to the library, which strips 91 only before numbers that it considers assigned.
    if indian := _INDIAN.fullmatch(number):
        return "+91" + indian[1]
    # An unescaped plus in a form arrives as a space.
    return _other("+" + number if raw.startswith(" ") else number)


def _compact(written: str) -> str:
    digits = phonenumbers.normalize_digits_only(written)
    return "+" + digits if "+" in written else digits


def _other(number: str) -> str | None:
    parsed = _parsed(number)
    if not parsed or not _dialable(number, parsed):
        return None
    result = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    # With extra zeros the library strips one at each parse, so the result is not stable. Such a text is no number.
    return result if _parsed(result) == parsed else None


def _parsed(number: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(number, HOME)
    except NumberParseException:
        return None


def _dialable(number: str, parsed: PhoneNumber) -> bool:
    """Without a country a number must be valid in India (toll-free ones are longer), with a country possible."""
    if not number.startswith(("+", "00")):
        return phonenumbers.is_valid_number(parsed)
    # "Possible only locally" is not enough: without its area code it cannot be dialled from elsewhere.
    return phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
