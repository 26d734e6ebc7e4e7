"""Kinds of settings: the values that they accept and refuse, and the secrets that they never show."""

import copy
import re
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp import setting_kinds as kinds
from calyapp.setting_kinds import Kind, Secret


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


NETWORKS = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.choice(Colour), "red", Colour.RED),
        (kinds.whole(0, 50), "0", 0),
        (kinds.whole(0, 50), "50", 50),
        (kinds.KEY, "k" * 32, Secret(b"k" * 32)),
        (kinds.KEY, "ä" * 16, Secret("ä".encode() * 16)),
        (kinds.HEX_KEY, "0aF" + "1" * 61, Secret(bytes.fromhex("0aF" + "1" * 61))),
        (kinds.DATABASE_URL, "postgres://u:p@h:5/d", Secret("postgresql+psycopg2://u:p@h:5/d")),
        (kinds.DATABASE_URL, "postgresql://u:p@h/d?a=b", Secret("postgresql+psycopg2://u:p@h/d?a=b")),
        (kinds.DATABASE_URL, "postgresql+psycopg2:///d?host=/run", Secret("postgresql+psycopg2:///d?host=/run")),
        (kinds.LIMITS_URL, "memory://", Secret("memory://")),
        (kinds.LIMITS_URL, "redis://:pw@cache:6379/0", Secret("redis://:pw@cache:6379/0")),
        (kinds.STREAM_URL, "ws://localhost:9000", "ws://localhost:9000"),
        (kinds.STREAM_URL, "wss://media.example/live/", "wss://media.example/live"),
        (kinds.WEB_URL, "https://caly.example", "https://caly.example"),
        (kinds.WEB_URL, "https://caly.example/below/", "https://caly.example/below"),
        (kinds.WEB_URL, "http://[::1]:80", "http://[::1]:80"),
        (kinds.NETWORKS, "10.0.0.0/8,::1/128", NETWORKS),
        (kinds.NETWORKS, "10.0.0.0/8, ::1", NETWORKS),
        (kinds.FOLDER, "var/my spool", Path("var/my spool")),
        (kinds.RATE, "1000/minute", "1000/minute"),
        (kinds.RATE, "6/15 minutes", "6/15 minutes"),
        (kinds.LINE, "नमस्ते", "नमस्ते"),
        (kinds.VOICE, "Polly.Aditi", "Polly.Aditi"),
        (kinds.LANGUAGE, "hi-IN", "hi-IN"),
    ],
)
def test_a_valid_text_is_converted_to_its_value(kind: Kind, text: str, value: object) -> None:
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (kinds.choice(Colour), ["Red", " red", "RED", "1", "green"]),
        (
            kinds.whole(1, 50),
            ["0", "51", " 5", "5 0", "1e1", "+5", "-5", "5.0", "05", "0x5", "5_0", "५", "yes", "9" * 99],
        ),
        (kinds.KEY, ["k" * 31, " " + "k" * 32, "k" * 32 + "\n", "\udcff" * 32]),
        (kinds.HEX_KEY, ["a" * 63, "a" * 65, "g" * 64, "ab " * 32, "０" * 64]),
        (
            kinds.DATABASE_URL,
            [
                "mysql://h/d",
                "sqlite:///d",
                "h/d",
                "postgresql://",
                "postgresql+asyncpg://h/d",
                "postgres://h/a b",
                "postgres://h:port/d",
            ],
        ),
        (
            kinds.WEB_URL,
            [
                "caly.example",
                "ftp://caly.example",
                "https://",
                "https://u:p@h",
                "https://h?a=b",
                "https://h#f",
                "https://h:0",
                "https://h:99999",
                "https://[",
                "https://h h",
            ],
        ),
        (
            kinds.LIMITS_URL,
            [
                "memory",
                "memory://x",
                "redis://",
                "memcached://h",
                "redis://h h",
                "redis://h/0?foo=x",
                "redis://:a/b@h:6379/0",
                "redis://h:port",
            ],
        ),
        (
            kinds.STREAM_URL,
            ["http://h", "wss://", "wss://:9000", "wss://h?a=b", "wss://h/?", "wss://h#f", "wss://u:p@h"],
        ),
        (kinds.STREAM_URL, ["wss://h:99999", "wss://h:0", "wss://h o", "wss://h\n", "wss://[::1"]),
        (kinds.NETWORKS, ["10.0.0.1/8", "localhost", "10.0.0.0/8,", ",", "10.0.0.0/33", "*", "10"]),
        (kinds.FOLDER, [" ", "var/spool ", "var\n", "var\0"]),
        (
            kinds.RATE,
            ["6", "0/minute", "6/15min", "900s", "6 per minute", "6/0.5 minutes", "6/minute; 1/hour", "६/minute"],
        ),
        (kinds.LINE, ["a\nb", "\0", "\ud800", "x" * 1001]),
        (kinds.VOICE, ["two words", "<b>", "-"]),
        (kinds.LANGUAGE, ["Hindi!", "hi_IN", "h", "hi-"]),
    ],
    ids=lambda value: value.what if isinstance(value, Kind) else "",
)
def test_an_invalid_text_is_refused(kind: Kind, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ValueError):  # noqa: PT011 - a kind promises only ValueError; `what` has the message
            kind.read(text)


@given(st.text())
def test_a_whole_number_has_one_spelling(text: str) -> None:
    kind = kinds.whole(0, 10**9)

    if re.fullmatch("[0-9]+", text) and str(int(text)) == text and int(text) <= 10**9:
        assert str(kind.read(text)) == text
    else:
        with pytest.raises(ValueError):  # noqa: PT011 - as above
            kind.read(text)


class TestSecret:
    def test_is_shown_only_by_reveal(self) -> None:
        secret = Secret("hunter2")

        assert secret.reveal() == "hunter2"
        assert repr(secret) == str(secret) == f"{secret}" == f"{secret!r}" == "***"
        assert "hunter2" not in repr([secret])

    def test_equals_only_a_secret_of_the_same_value(self) -> None:
        assert Secret(b"a") == Secret(b"a") == copy.deepcopy(Secret(b"a"))
        assert Secret(b"a") != Secret(b"b")
        assert Secret("a") != "a"
        assert len({Secret("a"), Secret("a")}) == 1
