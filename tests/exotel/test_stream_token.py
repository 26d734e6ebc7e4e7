import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from calyapp.exotel import stream_token

KEY = b"k" * 32
CALL = uuid4()
DOCUMENT = Path(__file__).parents[2] / "docs" / "stream-token.md"


@pytest.fixture
def verify():
    """The verifier that the document offers to the media server's developers."""
    (source,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict = {}
    exec(source, names)  # noqa: S102 — our own document
    return names["verify"]


def token(key: bytes = KEY, call: UUID = CALL, seconds: int = 60) -> str:
    return stream_token.mint(key, call, datetime.now(UTC) + timedelta(seconds=seconds))


class TestDocumentedVerifier:
    def test_accepts_a_fresh_token(self, verify):
        assert verify(KEY, str(CALL), token())

    def test_refuses_an_expired_token(self, verify):
        assert not verify(KEY, str(CALL), token(seconds=-1))

    def test_refuses_another_calls_token(self, verify):
        assert not verify(KEY, str(uuid4()), token())

    def test_refuses_another_keys_token(self, verify):
        assert not verify(b"x" * 32, str(CALL), token())

    @pytest.mark.parametrize("position", range(0, 52, 7))
    def test_refuses_a_changed_token(self, verify, position):
        fresh = token()
        other = "A" if fresh[position] != "A" else "B"

        assert not verify(KEY, str(CALL), fresh[:position] + other + fresh[position + 1 :])

    @pytest.mark.parametrize("broken", ["", "x", "a" * 51, "ä" * 52])
    def test_refuses_what_is_no_token(self, verify, broken):
        assert not verify(KEY, str(CALL), broken)

    def test_takes_about_ten_lines(self):
        (source,) = re.findall(r"def verify.*?```", DOCUMENT.read_text(), re.DOTALL)

        assert source.count("\n") <= 10


def test_a_token_is_52_url_safe_characters():
    assert re.fullmatch(r"[A-Za-z0-9_-]{52}", token())
