import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.access import tokens
from calyapp.access.tokens import TokenKind

KINDS = st.sampled_from(TokenKind)
ALPHABET = string.ascii_letters + string.digits + "-_"


class TestMint:
    @given(KINDS)
    def test_returns_a_token_of_the_kind(self, kind):
        token = tokens.mint(kind)

        assert tokens.kind_of(token) is kind
        assert token.startswith(kind)
        assert len(token) == 52

    @pytest.mark.parametrize("kind", TokenKind)
    def test_never_returns_the_same_token_twice(self, kind):
        assert len({tokens.mint(kind) for _ in range(1_000)}) == 1_000


class TestKindOf:
    @given(KINDS, st.integers(4, 51), st.sampled_from(ALPHABET))
    def test_refuses_a_token_with_a_changed_character(self, kind, place, character):
        token = tokens.mint(kind)
        spoilt = token[:place] + character + token[place + 1 :]

        assert tokens.kind_of(spoilt) is (kind if spoilt == token else None)

    @given(KINDS, st.integers(0, 51))
    def test_refuses_a_token_without_one_of_its_characters(self, kind, place):
        token = tokens.mint(kind)

        assert tokens.kind_of(token[:place] + token[place + 1 :]) is None

    @given(KINDS)
    def test_does_not_confuse_the_kinds(self, kind):
        (other,) = set(TokenKind) - {kind}

        assert tokens.kind_of(other + tokens.mint(kind).removeprefix(kind)) is None

    @given(st.text() | st.from_regex(r"ca[sk]_[A-Za-z0-9_-]{48}\n?", fullmatch=True))
    def test_refuses_other_texts(self, text):
        assert tokens.kind_of(text) is None


class TestDigest:
    def test_has_32_bytes_and_depends_only_on_the_token(self):
        token = tokens.mint(TokenKind.SESSION)

        assert len(tokens.digest(token)) == 32
        assert tokens.digest(token) == tokens.digest(token) != tokens.digest(tokens.mint(TokenKind.SESSION))


class TestShown:
    def test_is_the_prefix_and_eight_characters(self):
        token = tokens.mint(TokenKind.API_KEY)

        assert token.startswith(tokens.shown(token))
        assert len(tokens.shown(token)) == 12
