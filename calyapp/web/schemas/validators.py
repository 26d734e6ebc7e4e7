"""Validators: marshmallow fields that accept exactly one written form.

Marshmallow alone is too lenient: it accepts `20260101` as a date, 10**30 as an integer, and NUL in a text. Each
function passes its options (`required`, `data_key`, `pre_load` …) to the field. An error message says what would be
valid, begins with a verb, and never repeats the value.
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
_FIRST, _LAST = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(_DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]*")
# CONTROL_CHARACTERS, as far as JSON Schema can express them.
_PRINTABLE = r"^[^\x00-\x1F\x7F-\x9F\u2028-\u202E\u2066-\u2069]*$"
# The marks are included, because Indian scripts write vowels with them.
_LETTERS_AND_DIGITS = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"}

_MESSAGE_KEYS = ("invalid", "invalid_awareness", "format", "invalid_uuid", "special", "too_large", "unknown")


def require(predicate: Callable[[Any], bool], message: str) -> Validator:
    """Returns a validator that fails with the message if the predicate is false. Marshmallow ignores a False result."""

    def validate_value(value: Any) -> Any:
        if not predicate(value):
            raise Invalid(message)
        return value

    return validate_value


def string(minimum: int, maximum: int, *checks: Validator, **options: Any) -> fields.String:
    """Returns a field for a text of `minimum` to `maximum` characters that passes the checks. No control characters."""
    message = f"must be a text of {minimum} to {maximum} characters."
    clean = require(_has_no_control_character, "must not contain control characters.")
    length = validate.Length(minimum, maximum, error=message)
    return fields.String(validate=[length, clean, *checks], **_with(options, message, pattern=_PRINTABLE))


def alphanumeric(minimum: int, maximum: int, **options: Any) -> fields.String:
    """Returns a field for a text of the letters A–Z and a–z and the digits 0–9."""
    message = "must contain only the letters A-Z and a-z and the digits 0-9."
    return string(minimum, maximum, require(_has_form(_ALPHANUMERIC), message), **options)


def no_special_characters(minimum: int, maximum: int, **options: Any) -> fields.String:
    """Returns a field for a text of spaces and of letters and digits of any script."""
    return string(
        minimum, maximum, require(_has_no_special_character, "must contain only letters, digits and spaces."), **options
    )


def email(**options: Any) -> fields.String:
    """Returns a field for an e-mail address: unquoted, in ASCII, with a dot in the domain. The spelling is kept."""
    message = f"must be an e-mail address such as asha@example.com, of at most {MAX_EMAIL_LENGTH} characters."
    return fields.String(
        validate=require(_is_email, message), **_with(options, message, format="email", maxLength=MAX_EMAIL_LENGTH)
    )


def phone(**options: Any) -> fields.String:
    """Returns a field for a phone number in any common form, loaded as E.164. Without a country code it is Indian."""
    message = "must be a telephone number such as +919876543210."
    is_number = require(lambda text: e164(text) is not None, message)
    return fields.String(validate=is_number, post_load=e164, **_with(options, message))


def url(*, schemes: tuple[str, ...] = ("https", "http"), **options: Any) -> fields.String:
    """Returns a field for an absolute URL in ASCII, without user and password. The target is not checked."""
    starts = " or ".join(f"{scheme}://" for scheme in schemes)
    message = (
        f"must be a URL of at most {MAX_URL_LENGTH} characters that starts with {starts}, without user and password."
    )
    has_form = require(lambda text: _is_url(text, schemes), message)
    return fields.String(validate=has_form, **_with(options, message, format="uri", maxLength=MAX_URL_LENGTH))


def whole_number(minimum: int, maximum: int, **options: Any) -> fields.Integer:
    """Returns a field for a whole number: a JSON integer, or digits as in a query string. Refuses 1.0 and true."""
    message = f"must be a whole number from {minimum} to {maximum}."
    within = validate.Range(minimum, maximum, error=message)
    return fields.Integer(strict=True, validate=within, **_with(options, message, _from_digits))


def number(minimum: int, maximum: int, places: int, **options: Any) -> fields.Decimal:
    """Returns a field for a `Decimal` with up to `places` (at least 1) decimal places. Refuses exponents (1e9)."""
    message = f"must be a number from {minimum} to {maximum} with at most {places} decimal places."
    plain = re.compile(rf"-?(?:0|[1-9][0-9]{{0,15}})(?:\.[0-9]{{1,{places}}})?")
    within = validate.Range(minimum, maximum, error=message)
    return fields.Decimal(validate=within, **_with(options, message, require(_is_plain_number(plain), message)))


def enum(words: type[StrEnum], **options: Any) -> fields.Enum[Any]:
    """Returns a field for one of the words, spelt exactly, loaded as the member."""
    message = f"must be one of: {', '.join(words)}."
    word = fields.String(error_messages={"invalid": message})
    return fields.Enum(words, by_value=word, **_with(options, message))


def array(item: fields.Field[Any], minimum: int, maximum: int, **options: Any) -> fields.List[Any]:
    """Returns a field for a list of `minimum` to `maximum` items, each valid for the field `item`."""
    message = f"must be a list of {minimum} to {maximum} items."
    # Checked before the items, because 100,000 invalid items would give 100,000 messages.
    bounded = require(lambda value: isinstance(value, list) and minimum <= len(value) <= maximum, message)
    return fields.List(item, **_with(options, message, bounded))


def date(earliest: dt.date = dt.date.min, latest: dt.date = dt.date.max, **options: Any) -> fields.Date:
    """Returns a field for a date, written YYYY-MM-DD."""
    message = f"must be a date from {earliest} to {latest}, written YYYY-MM-DD."
    within = require(lambda day: earliest <= day <= latest, message)
    return fields.Date(validate=within, **_with(options, message, require(_has_form(_DATE), message)))


class _UtcDateTime(fields.AwareDateTime):
    """Converts to UTC: PostgreSQL refuses offsets of 16 hours and more, which ISO 8601 allows.

    A time outside the calendar in UTC becomes the first or last time of the calendar.
    """

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> dt.datetime:
        moment = super()._deserialize(value, *arguments, **options)
        try:
            return moment.astimezone(dt.UTC)
        except OverflowError:
            return _FIRST if moment.year == 1 else _LAST


def moment(**options: Any) -> fields.AwareDateTime:
    """Returns a field for a time in ISO 8601 with an offset from UTC, loaded as a `datetime` in UTC."""
    message = "must be a time such as 2026-11-22T09:30:00Z or 2026-11-22T15:00:00%2B05:30."
    return _UtcDateTime(format="iso", **_with(options, message, require(_has_form(_MOMENT), message)))


def yes_or_no(**options: Any) -> fields.Boolean:
    """Returns a field for the word true or false."""
    message = "must be true or false."
    return fields.Boolean(truthy={"true"}, falsy={"false"}, **_with(options, message))


def uuid(**options: Any) -> fields.UUID:
    """Returns a field for a UUID in five groups with hyphens, loaded as `UUID`."""
    message = "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057."
    return fields.UUID(**_with(options, message, require(_has_form(_UUID), message)))


def _with(options: dict[str, Any], message: str, *checks: Validator, **keywords: Any) -> dict[str, Any]:
    """Returns the options with the error messages, and with the checks after the sanitizers of `pre_load`.

    `keywords` are keywords of JSON Schema for the OpenAPI document.
    """
    messages = dict.fromkeys(_MESSAGE_KEYS, message) | {"required": "is missing.", "null": "must not be null."}
    return {
        **options,
        "pre_load": [*options.get("pre_load", ()), *checks],
        "error_messages": messages,
        "metadata": {**keywords, **options.get("metadata", {})},
    }


def _has_form(form: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and form.fullmatch(value) is not None


def _is_plain_number(form: re.Pattern[str]) -> Callable[[Any], bool]:
    """Accepts integers without converting them: Python refuses to write one with thousands of digits as text."""
    has_form = _has_form(form)
    return lambda value: isinstance(value, int) or has_form(str(value) if isinstance(value, float) else value)


def _from_digits(value: Any) -> Any:
    return int(value) if _has_form(_WHOLE_NUMBER)(value) else value


def _has_no_control_character(text: str) -> bool:
    return CONTROL_CHARACTERS.search(text) is None


def _has_no_special_character(text: str) -> bool:
    # The last two are joiners, which are not letters but necessary in Indian scripts.
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
    match = _URL.fullmatch(text) if len(text) <= MAX_URL_LENGTH else None
    if not match:
        return False
    scheme, host, port = match.groups()
    return scheme.lower() in schemes and _is_host(host) and (port is None or 0 < int(port) <= 65_535)


def _is_host(host: str) -> bool:
    return _is_domain(host) or _is_address(host)


def _is_domain(host: str) -> bool:
    """Refuses a last label that begins with a digit: browsers read such a host as an IPv4 address, even `0x7f.1`."""
    labels = host.split(".")
    return all(map(_LABEL.fullmatch, labels)) and not labels[-1][0].isdigit()


def _is_address(host: str) -> bool:
    try:
        IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except AddressValueError:
        return False
    return True
