"""The kinds of settings: how the text of an environment variable becomes a value.

An error never repeats the text, because it could be a key on the wrong line. This module knows no setting by name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

Hidden = TypeVar("Hidden", bytes, str)
Networks = tuple[IPv4Network | IPv6Network, ...]


class Secret(Generic[Hidden]):
    """A value that is hidden from logs and tracebacks. Only `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: Hidden) -> None:
        self._value: Hidden = value

    def reveal(self) -> Hidden:
        """Returns the value. Pass it on; never log it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Kind:
    """A description of valid texts, for error messages, and a parser that raises `ValueError` for other texts."""

    what: str
    read: Callable[[str], Any]


def choice(enumeration: type[StrEnum]) -> Kind:
    """Returns the kind of a value of an enumeration."""
    return Kind("one of " + ", ".join(enumeration), enumeration)


def whole(minimum: int, maximum: int) -> Kind:
    """Returns the kind of a whole number within bounds, in plain decimal digits."""

    def read(text: str) -> int:
        number = int(_matching(r"0|[1-9][0-9]{0,9}", text))
        _require(minimum <= number <= maximum)
        return number

    return Kind(f"a whole number from {minimum} to {maximum}", read)


def written(what: str, pattern: str) -> Kind:
    """Returns the kind of a text that matches a pattern and is kept unchanged."""
    return Kind(what, lambda text: _matching(pattern, text))


def _key(text: str) -> Secret[bytes]:
    key = text.encode()
    _require(len(key) >= 32 and text == text.strip())
    return Secret(key)


def _hex_key(text: str) -> Secret[bytes]:
    return Secret(bytes.fromhex(_matching(r"[0-9A-Fa-f]{64}", text)))


def _database_url(text: str) -> Secret[str]:
    _, _, rest = _matching(r"(?:postgres|postgresql|postgresql\+psycopg2)://[^\s\0]+", text).partition("://")
    # The same parts as SQLAlchemy's parser, which raises an unrelated error for a port that is not a number.
    _matching(r"(?:[^:/]*(?::[^@]*)?@)?(?:\[[^\]/]*\]|[^/:]*)(?::\d{0,5})?(?:/.*)?", rest)
    return Secret("postgresql+psycopg2://" + rest)


def _limits_url(text: str) -> Secret[str]:
    # A secret, because the URL may contain a password. Query options are refused: they would override our time-outs.
    _ = urlsplit(text).port  # raises ValueError for a number above 65535
    host = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    return Secret(_matching(rf"memory://|rediss?://(?:[^\s/?#@]*@)?{host}(?::\d{{1,5}})?(?:/\d{{0,4}})?", text))


def _stream_url(text: str) -> str:
    url = urlsplit(_matching(r"wss?://[!-~]+", text))
    _require(bool(url.hostname) and url.port != 0 and not set("?#@") & set(text))
    return text.rstrip("/")


def _web_url(text: str) -> str:
    url = urlsplit(_matching(r"https?://[!-~]+", text))
    _require(bool(re.fullmatch(r"[A-Za-z0-9._-]+|[0-9a-f:.]+", url.hostname or "")))
    _require(url.port != 0 and not set("?#@") & set(text))
    return text.rstrip("/")


def _networks(text: str) -> Networks:
    return tuple(ip_network(part.strip()) for part in text.split(","))


def _folder(text: str) -> Path:
    return Path(_matching(r"[^\s\0](?:[^\n\0]*[^\s\0])?", text))


def _matching(pattern: str, text: str) -> str:
    _require(re.fullmatch(pattern, text) is not None)
    return text


def _require(is_valid: bool) -> None:
    if not is_valid:
        raise ValueError


KEY = Kind("at least 32 bytes, without spaces around them", _key)
HEX_KEY = Kind("exactly 64 hexadecimal digits", _hex_key)
DATABASE_URL = Kind(
    "a URL such as postgresql://USER:PASSWORD@HOST:5432/DATABASE, the password percent-encoded", _database_url
)
LIMITS_URL = Kind(
    "memory:// or redis://[:password@]host[:port][/number], rediss:// for TLS, the password percent-encoded",
    _limits_url,
)
STREAM_URL = Kind(
    "a URL that begins with wss:// or ws://, with a host and without user, query and fragment", _stream_url
)
WEB_URL = Kind("a URL such as https://caly.example, with a host and without user, query and fragment", _web_url)
NETWORKS = Kind("networks such as 10.0.0.0/8 or ::1/128, separated by commas", _networks)
FOLDER = Kind("the path of a folder", _folder)
RATE = written("a rate such as 100/15 minutes", r"[1-9][0-9]{0,6}/(?:[1-9][0-9]{0,3} )?(?:second|minute|hour|day)s?")
LINE = written("one line of at most 1000 characters", r"[^\x00-\x1f\x7f\ud800-\udfff]{1,1000}")
ACCOUNT_SID = written("an Exotel account SID", r"[A-Za-z0-9_-]{1,64}")
CREDENTIAL = written("8 to 128 letters, digits, - or _", r"[A-Za-z0-9_-]{8,128}")
WEBHOOK_KEY = written("a webhook key, as `flask caly clients show CLIENT --with-key` prints it", r"[!-~]{1,128}")
VOICE = written("the name of a voice, such as woman", r"[A-Za-z][A-Za-z0-9._-]{0,63}")
LANGUAGE = written("a language such as hi-IN", r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
