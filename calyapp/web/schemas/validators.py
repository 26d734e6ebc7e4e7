"""The catalogue of validators: marshmallow fields that take one written form and nothing near it.

Marshmallow is lenient where we cannot be: it takes `20260101` for a date, 10**30 for an integer, NUL in a text. Each
factory passes its options (`required`, `data_key`, `pre_load`, …) on to the field. A complaint says what would be
right, begins with a verb and never repeats the value.
"""

import datetime as dt
import re
from collections.abc import Callable
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any
from unicodedata import category

from marshmallow import ValidationError as Invalid
from marshmallow import fields, validate

from calyapp.phone import e164
from calyapp.web.schemas.sanitizers import CONTROL_CHARACTERS

Validator = Callable[[Any], Any]

MAX_EMAIL_LENGTH = 254
MAX_URL_LENGTH = 2_048

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{0,31})://"
    r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?"
    r"(?:[/?#](?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?"
)
_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(_DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]*")
_CLEAN = r"^[^\x00-\x1F\x7F-\x9F\u2028-\u202E\u2066-\u2069]*$"  # of CONTROL_CHARACTERS what JSON Schema can say
_LETTERS_AND_DIGITS = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"}  # with the marks that vowels are in India

_EVERY_COMPLAINT = ("invalid", "invalid_awareness", "format", "invalid_uuid", "special", "too_large", "unknown")


def demand(test: Callable[[Any], bool], wrong: str) -> Validator:
    """A validator out of a yes-or-no question: marshmallow by itself takes a validator's False for a yes."""

    def check(value: Any) -> Any:
        if not test(value):
            raise Invalid(wrong)
        return value

    return check


def string(least: int, most: int, *checks: Validator, **options: Any) -> fields.String:
    """A text of `least` to `most` characters, none of them a control character, that passes the further checks."""
    wrong = f"must be a text of {least} to {most} characters."
    clean = demand(_has_no_control_character, "must not contain control characters.")
    length = validate.Length(least, most, error=wrong)
    return fields.String(validate=[length, clean, *checks], **_with(options, wrong, pattern=_CLEAN))


def alphanumeric(least: int, most: int, **options: Any) -> fields.String:
    """A text of the letters A–Z and a–z and the digits 0–9."""
    wrong = "must have only the letters A-Z and a-z and the digits 0-9."
    return string(least, most, demand(_written(_ALPHANUMERIC), wrong), **options)


def no_special_characters(least: int, most: int, **options: Any) -> fields.String:
    """A text of letters and digits of any script and of spaces."""
    return string(
        least, most, demand(_has_no_special_character, "must have only letters, digits and spaces."), **options
    )


def email(**options: Any) -> fields.String:
    """An e-mail address, as it was written: unquoted, in ASCII, at a domain that has a dot."""
    wrong = f"must be an e-mail address such as asha@example.com, of at most {MAX_EMAIL_LENGTH} characters."
    return fields.String(
        validate=demand(_is_email, wrong), **_with(options, wrong, format="email", maxLength=MAX_EMAIL_LENGTH)
    )


def phone(**options: Any) -> fields.String:
    """A telephone number in any common form; comes out as E.164. Without a country it is Indian."""
    wrong = "must be a telephone number such as +919876543210."
    known = demand(lambda text: e164(text) is not None, wrong)
    return fields.String(validate=known, post_load=e164, **_with(options, wrong))


def url(*, schemes: tuple[str, ...] = ("https", "http"), **options: Any) -> fields.String:
    """An absolute URL without user and password, in ASCII, as it was written. Where it leads is not looked at."""
    starts = " or ".join(f"{scheme}://" for scheme in schemes)
    wrong = (
        f"must be a URL of at most {MAX_URL_LENGTH} characters that starts with {starts}, without user and password."
    )
    known = demand(lambda text: _is_url(text, schemes), wrong)
    return fields.String(validate=known, **_with(options, wrong, format="uri", maxLength=MAX_URL_LENGTH))


def whole_number(least: int, most: int, **options: Any) -> fields.Integer:
    """A whole number: a JSON number, or plain digits, as a query string has it. 1.0 and true are none."""
    wrong = f"must be a whole number from {least} to {most}."
    within = validate.Range(least, most, error=wrong)
    return fields.Integer(strict=True, validate=within, **_with(options, wrong, _from_digits))


def number(least: int, most: int, places: int, **options: Any) -> fields.Decimal:
    """A `Decimal` with up to `places` (at least 1) digits after the point, never in powers of ten (1e9)."""
    wrong = f"must be a number from {least} to {most} with at most {places} decimal places."
    plain = re.compile(rf"-?(?:0|[1-9][0-9]{{0,15}})(?:\.[0-9]{{1,{places}}})?")
    within = validate.Range(least, most, error=wrong)
    return fields.Decimal(validate=within, **_with(options, wrong, demand(_number_written(plain), wrong)))


def enum(words: type[StrEnum], **options: Any) -> fields.Enum[Any]:
    """One of the words, written exactly so; comes out as the member."""
    wrong = f"must be one of: {', '.join(words)}."
    word = fields.String(error_messages={"invalid": wrong})
    return fields.Enum(words, by_value=word, **_with(options, wrong))


def array(of: fields.Field[Any], least: int, most: int, **options: Any) -> fields.List[Any]:
    """A list of `least` to `most` items, each of which the field `of` takes."""
    wrong = f"must be a list of {least} to {most} items."
    # Counted before its items are looked at: a hundred thousand bad items would be as many complaints.
    bounded = demand(lambda value: isinstance(value, list) and least <= len(value) <= most, wrong)
    return fields.List(of, **_with(options, wrong, bounded))


def date(earliest: dt.date = dt.date.min, latest: dt.date = dt.date.max, **options: Any) -> fields.Date:
    """A day of the calendar, written YYYY-MM-DD."""
    wrong = f"must be a date from {earliest} to {latest}, written YYYY-MM-DD."
    within = demand(lambda day: earliest <= day <= latest, wrong)
    return fields.Date(validate=within, **_with(options, wrong, demand(_written(_DATE), wrong)))


def moment(**options: Any) -> fields.AwareDateTime:
    """A moment in ISO 8601 with its offset from UTC; comes out aware."""
    wrong = "must be a moment such as 2026-11-22T09:30:00Z or 2026-11-22T15:00:00%2B05:30."
    return fields.AwareDateTime(format="iso", **_with(options, wrong, demand(_written(_MOMENT), wrong)))


def yes_or_no(**options: Any) -> fields.Boolean:
    """The word true or false."""
    wrong = "must be true or false."
    return fields.Boolean(truthy={"true"}, falsy={"false"}, **_with(options, wrong))


def uuid(**options: Any) -> fields.UUID:
    """A UUID in its five groups with hyphens; comes out as `UUID`."""
    wrong = "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057."
    return fields.UUID(**_with(options, wrong, demand(_written(_UUID), wrong)))


def _with(options: dict[str, Any], wrong: str, *checks: Validator, **keywords: Any) -> dict[str, Any]:
    """The options, with sentences for whatever may be wrong, and with checks that follow the sanitizers.

    The keywords are those of JSON Schema, for the description.
    """
    messages = dict.fromkeys(_EVERY_COMPLAINT, wrong) | {"required": "is missing.", "null": "must not be null."}
    return {
        **options,
        "pre_load": [*options.get("pre_load", ()), *checks],
        "error_messages": messages,
        "metadata": {**keywords, **options.get("metadata", {})},
    }


def _written(form: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and form.fullmatch(value) is not None


def _number_written(form: re.Pattern[str]) -> Callable[[Any], bool]:
    """Integers pass as they are: to write out one of many thousand digits is what Python refuses."""
    written = _written(form)
    return lambda value: isinstance(value, int) or written(str(value) if isinstance(value, float) else value)


def _from_digits(value: Any) -> Any:
    return int(value) if _written(_WHOLE_NUMBER)(value) else value


def _has_no_control_character(text: str) -> bool:
    return CONTROL_CHARACTERS.search(text) is None


def _has_no_special_character(text: str) -> bool:
    # The last two are no letters, but the joiners by which Indian scripts shape them.
    return all(category(character) in _LETTERS_AND_DIGITS or character in " \u200c\u200d" for character in text)


def _is_email(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return (
        len(text) <= MAX_EMAIL_LENGTH
        and len(local) <= 64
        and _LOCAL_PART.fullmatch(local) is not None
        and "." in domain
        and _is_domain(domain)
    )


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    found = _URL.fullmatch(text) if len(text) <= MAX_URL_LENGTH else None
    if not found:
        return False
    scheme, host, port = found.groups()
    return scheme.lower() in schemes and _is_host(host) and (port is None or 0 < int(port) <= 65_535)


def _is_host(host: str) -> bool:
    return _is_domain(host) or _is_address(host)


def _is_domain(host: str) -> bool:
    """Where the last label begins with a digit, browsers read an IPv4 address, in forms as odd as `0x7f.1`."""
    labels = host.split(".")
    return all(map(_LABEL.fullmatch, labels)) and not labels[-1][0].isdigit()


def _is_address(host: str) -> bool:
    try:
        IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except AddressValueError:
        return False
    return True
