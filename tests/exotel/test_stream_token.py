import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.exotel import stream_token

KEY = b"k" * 32
CALL = uuid4()
DOCUMENT = Path(__file__).parents[2] / "docs" / "stream-token.md"


@pytest.fixture
def verify():
    """The verifier in the document for the developers of media servers."""
    (source,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict = {}
    exec(source, names)  # noqa: S102 — our own document
    return names["verify"]


def token(key: bytes = KEY, call: UUID = CALL, seconds: int = 60) -> str:
    return stream_token.mint(key, call, datetime.now(UTC) + timedelta(seconds=seconds))


class TestDocumentedVerifier:
    def test_accepts_a_fresh_token(self, verify):
        assert verify([KEY], str(CALL), token())

    def test_refuses_an_expired_token(self, verify):
        assert not verify([KEY], str(CALL), token(seconds=-1))

    def test_refuses_another_calls_token(self, verify):
        assert not verify([KEY], str(uuid4()), token())

    def test_refuses_another_keys_token(self, verify):
        assert not verify([b"x" * 32], str(CALL), token())

    def test_accepts_the_tokens_of_both_keys_during_a_rotation(self, verify):
        old, new = b"o" * 32, b"n" * 32

        assert all(verify([old, new], str(CALL), token(key)) for key in (old, new))

    @pytest.mark.parametrize("position", range(0, 52, 7))
    def test_refuses_a_changed_token(self, verify, position):
        fresh = token()
        other = "A" if fresh[position] != "A" else "B"

        assert not verify([KEY], str(CALL), fresh[:position] + other + fresh[position + 1 :])

    @pytest.mark.parametrize("broken", ["", "x", "a" * 51, "ä" * 52])
    def test_refuses_malformed_tokens(self, verify, broken):
        assert not verify([KEY], str(CALL), broken)

    def test_has_ten_lines_at_most(self):
        (source,) = re.findall(r"def verify.*?```", DOCUMENT.read_text(), re.DOTALL)

        assert source.count("\n") <= 10


class TestRead:
    @pytest.mark.parametrize("position", [0, 1])
    def test_returns_the_index_of_the_key(self, position):
        keys = [b"o" * 32, b"n" * 32]

        assert stream_token.read(keys, CALL, token(keys[position])).key_index == position

    def test_returns_the_expiry(self):
        expires_at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

        assert stream_token.read([KEY], CALL, stream_token.mint(KEY, CALL, expires_at)).expires_at == expires_at

    @pytest.mark.parametrize("broken", ["", "x", "a" * 51, "a" * 52, "ä" * 52])
    def test_returns_none_for_malformed_tokens(self, broken):
        assert stream_token.read([KEY], CALL, broken) is None

    def test_returns_none_for_another_key_or_call(self):
        assert stream_token.read([b"x" * 32], CALL, token()) is None
        assert stream_token.read([KEY], uuid4(), token()) is None

    @given(st.text(max_size=60))
    def test_accepts_any_text(self, text):
        assert stream_token.read([KEY], CALL, text) is None


def test_a_token_is_52_url_safe_characters():
    assert re.fullmatch(r"[A-Za-z0-9_-]{52}", token())
