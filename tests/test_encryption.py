import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.encryption import Encryption, UnreadableSecretError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
ASHA, BINDU = b"a" * 16, b"b" * 16


class TestEncryption:
    @given(st.binary(max_size=500))
    def test_decrypts_its_own_ciphertext(self, plain):
        encryption = Encryption(NEW)

        assert encryption.open(encryption.seal(plain, ASHA), ASHA) == plain

    def test_encrypts_the_same_text_differently_each_time(self):
        encryption = Encryption(NEW)

        assert len({encryption.seal(b"text", ASHA) for _ in range(100)}) == 100

    def test_decrypts_only_for_the_owner(self):
        encryption = Encryption(NEW)
        sealed = encryption.seal(b"text", ASHA)

        with pytest.raises(UnreadableSecretError):
            encryption.open(sealed, BINDU)

    def test_detects_a_change_of_any_bit(self):
        encryption = Encryption(NEW)
        sealed = encryption.seal(b"text", ASHA)

        for place in range(len(sealed) * 8):
            changed = bytearray(sealed)
            changed[place // 8] ^= 1 << place % 8
            with pytest.raises(UnreadableSecretError):
                encryption.open(bytes(changed), ASHA)

    def test_detects_truncation(self):
        encryption = Encryption(NEW)
        sealed = encryption.seal(b"text", ASHA)

        for length in range(len(sealed)):
            with pytest.raises(UnreadableSecretError):
                encryption.open(sealed[:length], ASHA)

    def test_decrypts_with_the_previous_key(self):
        sealed = Encryption(OLD).seal(b"text", ASHA)

        assert Encryption(NEW, OLD).open(sealed, ASHA) == b"text"
        with pytest.raises(UnreadableSecretError):
            Encryption(NEW).open(sealed, ASHA)

    def test_encrypts_with_the_current_key(self):
        sealed = Encryption(NEW, OLD).seal(b"text", ASHA)

        assert Encryption(NEW).open(sealed, ASHA) == b"text"

    def test_hides_its_keys(self):
        encryption = Encryption(NEW, OLD)

        assert NEW.hex() not in f"{vars(encryption)}{encryption!r}"
        assert repr(NEW) not in f"{vars(encryption)}{encryption!r}"
