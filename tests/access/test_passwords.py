import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters

from calyapp import metrics
from calyapp.access import passwords
from calyapp.access.passwords import Passwords
from calyapp.errors import RateLimitError, ValidationError

ROOT = Path(__file__).parents[2]
GOOD = "seven lamps by the ghat"


@pytest.fixture(scope="module")
def hasher():
    return Passwords()


@pytest.fixture(scope="module")
def stored(hasher):
    return hasher.hash(GOOD)


def verifications() -> float:
    return metrics.PASSWORD_VERIFICATIONS._value.get()


class TestHash:
    def test_uses_argon2id_with_the_parameters_of_owasp(self, stored):
        parameters = extract_parameters(stored)

        assert stored.startswith("$argon2id$")
        assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (47_104, 1, 1)

    def test_differs_each_time(self, hasher, stored):
        assert hasher.hash(GOOD) != stored

    def test_is_outdated_if_the_parameters_differ(self, hasher, stored):
        assert not hasher.is_outdated(stored)
        assert hasher.is_outdated(PasswordHasher(memory_cost=1024, time_cost=2).hash(GOOD))


class TestVerify:
    def test_accepts_only_the_password(self, hasher, stored):
        assert hasher.verify(GOOD, stored)
        assert not hasher.verify(GOOD + " ", stored)

    def test_accepts_other_encodings_of_the_same_text(self, hasher):
        composed = unicodedata.normalize("NFC", "café à la carte, क़लम")
        decomposed = unicodedata.normalize("NFD", composed)

        assert composed != decomposed
        assert hasher.verify(decomposed, hasher.hash(composed))

    def test_accepts_a_hash_with_other_parameters(self, hasher):
        assert hasher.verify(GOOD, PasswordHasher(memory_cost=1024, time_cost=2).hash(GOOD))

    @pytest.mark.parametrize("broken", ["", "plain text", "$argon2id$v=19$m=47104,t=1,p=1$x"])
    def test_accepts_no_password_for_an_invalid_hash(self, hasher, broken):
        assert not hasher.verify(GOOD, broken)

    def test_raises_if_there_is_too_little_memory(self, stored):
        # In a separate process, whose memory is limited to less than a hash needs.
        tried = (
            "import resource; from calyapp.access.passwords import Passwords\n"
            "hasher, used = Passwords(), int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + 16 * 2**20,) * 2)\n"
            f"hasher.verify({GOOD!r}, {stored!r})"
        )

        ended = subprocess.run([sys.executable, "-c", tried], cwd=ROOT, capture_output=True, text=True, check=False)

        assert ended.stderr.splitlines()[-1] == "MemoryError"

    def test_does_the_same_work_for_an_unknown_user(self, hasher, stored):
        parameters = [extract_parameters(hash_) for hash_ in (passwords._UNUSABLE_HASH, stored)]
        before = verifications()

        assert not hasher.verify(GOOD, None)

        assert verifications() - before == 1
        assert parameters[0] == parameters[1]


class TestConcurrentVerifications:
    def test_are_refused_if_too_many_run_and_wait(self):
        hasher = Passwords()
        with hasher._turn(), hasher._turn():
            waiting = [threading.Thread(target=hasher.verify, args=(GOOD, None)) for _ in range(2)]
            for thread in waiting:
                thread.start()
            while hasher._admitted._value:
                threading.Event().wait(0.01)

            with pytest.raises(RateLimitError) as refused:
                hasher.verify(GOOD, None)
        for thread in waiting:
            thread.join()

        assert refused.value.retry_after == 1
        assert not hasher.verify(GOOD, None)


class TestWeakness:
    @pytest.mark.parametrize("password", [GOOD, "x7" * 6 + "q", "Ж" * 12 + "щ", "पासवर्ड बहुत लंबा है", "z9!" * 42])
    def test_accepts_long_and_uncommon_passwords(self, password):
        assert passwords.weakness(password) is None

    @pytest.mark.parametrize("password", ["", "x" * 11, "short", "x" * 129, "a\u0301" * 6])
    def test_includes_a_length_outside_the_bounds(self, password):
        assert passwords.weakness(password) == "must be a text of 12 to 128 characters."

    @pytest.mark.parametrize(
        "password", ["1q2w3e4r5t6y", "123456789012", "password1234", "PASSWORD1234", "QwertyQwerty", "1QAZ2WSX3EDC4RFV"]
    )
    def test_includes_common_passwords_in_any_case(self, password):
        assert passwords.weakness(password) == "must not be one of the passwords that attackers try first."

    def test_includes_common_passwords_in_full_width_letters(self):
        assert passwords.weakness("ｐａｓｓｗｏｒｄ１２３４") == passwords.weakness("password1234")

    def test_is_refused_without_repeating_the_password(self):
        with pytest.raises(ValidationError) as refused:
            passwords.check("password1234")

        assert "password1234" not in refused.value.message
