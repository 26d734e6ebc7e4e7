import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.clients.keys import Claim, WebhookKeys

ROOT = b"the root of all keys, 32 bytes or more"
CLIENT = UUID("5a0c9f1e-8f43-4c5d-9d6f-0d1f3e1c2b4a")
LENGTH = len("cwk_") + 56

keys = WebhookKeys(ROOT)
roots = st.binary(min_size=32, max_size=64)
versions = st.integers(1, 65_535)
minted = st.builds(keys.mint, st.uuids(), versions)


class TestMint:
    @given(minted)
    def test_returns_a_prefix_and_56_url_safe_characters(self, key):
        assert re.fullmatch(r"cwk_[A-Za-z0-9_-]{56}", key)

    @given(roots, st.uuids(), versions)
    def test_returns_the_same_key_every_time(self, root, client_id, version):
        assert WebhookKeys(root).mint(client_id, version) == WebhookKeys(root).mint(client_id, version)

    @given(st.uuids(), st.lists(versions, min_size=2, max_size=8, unique=True))
    def test_returns_a_different_key_for_each_version(self, client_id, several_versions):
        assert len({keys.mint(client_id, version) for version in several_versions}) == len(several_versions)

    @given(st.lists(st.uuids(), min_size=2, max_size=8, unique=True), versions)
    def test_returns_a_different_key_for_each_client(self, clients, version):
        assert len({keys.mint(client_id, version) for client_id in clients}) == len(clients)

    @given(st.lists(roots, min_size=2, max_size=2, unique=True), st.uuids(), versions)
    def test_uses_the_root_in_the_last_24_bytes_only(self, two_roots, client_id, version):
        one, other = (WebhookKeys(root).mint(client_id, version) for root in two_roots)

        assert one[:-32] == other[:-32]
        assert one[-32:] != other[-32:]

    def test_never_changes_its_format(self):
        # Clients have registered their keys with Exotel: another format would make all of them invalid.
        assert keys.mint(CLIENT, 1) == "cwk_WgyfHo9DTF2dbw0fPhwrSgABy28t_DRR1Yxo8m_1XQZVocHZ1ieQbBrB"


class TestVerify:
    @given(roots, st.uuids(), versions)
    def test_returns_client_and_version(self, root, client_id, version):
        under_root = WebhookKeys(root)

        assert under_root.verify(under_root.mint(client_id, version)) == Claim(client_id, version)

    @given(minted, st.integers(0, LENGTH - 1), st.characters())
    def test_refuses_a_key_with_one_character_changed(self, key, position, character):
        changed = key[:position] + character + key[position + 1 :]

        assert (keys.verify(changed) is None) == (changed != key)

    @given(minted, st.integers(0, LENGTH - 1), st.integers(0, 63))
    def test_refuses_a_key_with_one_character_replaced_from_its_alphabet(self, key, position, letter):
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        changed = key[:position] + alphabet[letter] + key[position + 1 :]

        assert (keys.verify(changed) is None) == (changed != key)

    @given(minted, st.integers(0, LENGTH - 1))
    def test_refuses_a_key_cut_short_at_either_end(self, key, length):
        assert keys.verify(key[:length]) is None
        assert keys.verify(key[LENGTH - length :]) is None

    @given(minted, st.text(min_size=1, max_size=8))
    def test_refuses_a_key_with_text_added_at_either_end(self, key, more):
        assert keys.verify(key + more) is None
        assert keys.verify(more + key) is None

    @given(st.text())
    def test_refuses_any_other_text(self, text):
        assert keys.verify(text) is None
        assert keys.verify("cwk_" + text) is None

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "cwk_",
            "cwk_" + "A" * 56,
            "cwk_" + "=" * 56,
            "cwk_" + "٣" * 56,
            "cwk_" + "क" * 56,
            "cwk_" + "\ud800" * 56,
        ],
    )
    def test_refuses_text_that_resembles_a_key(self, key):
        assert keys.verify(key) is None

    @given(st.lists(roots, min_size=2, max_size=2, unique=True), st.uuids(), versions)
    def test_refuses_a_key_under_another_root(self, two_roots, client_id, version):
        ours, theirs = map(WebhookKeys, two_roots)

        assert ours.verify(theirs.mint(client_id, version)) is None


class TestPreviousRoot:
    @given(st.lists(roots, min_size=2, max_size=2, unique=True), st.uuids(), versions)
    def test_still_verifies_its_keys(self, two_roots, client_id, version):
        root, previous = two_roots
        old_key = WebhookKeys(previous).mint(client_id, version)

        assert WebhookKeys(root, previous).verify(old_key) == Claim(client_id, version)

    @given(st.lists(roots, min_size=2, max_size=2, unique=True), st.uuids(), versions)
    def test_mints_no_keys(self, two_roots, client_id, version):
        root, previous = two_roots

        assert WebhookKeys(root, previous).mint(client_id, version) == WebhookKeys(root).mint(client_id, version)
