import threading

import pytest

from calyapp.doctor.diagnosis import Diagnosis, NamedCheck, Verdict, examine, fail, ok, warn
from calyapp.errors import DatabaseAway


def diagnoses(*checks: NamedCheck, **options) -> list[Diagnosis]:
    return list(examine(checks, **options))


def raising(error: Exception):
    def check():
        raise error

    return check


class TestDiagnosis:
    def test_is_the_worst_verdict_with_its_messages_and_remedies(self):
        seen = [ok("a"), fail("b", "Do b."), warn("c", "Do c."), fail("d", "Do d."), fail("e", "Do b.")]

        assert diagnoses(NamedCheck("it", lambda: seen)) == [Diagnosis("it", Verdict.FAIL, "b; d; e", "Do b. Do d.")]

    def test_of_ok_seen_has_no_remedy(self):
        found = diagnoses(NamedCheck("it", lambda: [ok("a"), ok("b")]))

        assert found == [Diagnosis("it", Verdict.OK, "a; b", "")]

    @pytest.mark.parametrize("error", [ValueError("canary"), KeyError("canary"), RuntimeError("canary")])
    def test_of_a_check_that_raises_names_only_the_type_of_the_error(self, error):
        (diagnosis,) = diagnoses(NamedCheck("it", raising(error)))

        assert diagnosis.verdict is Verdict.FAIL
        assert type(error).__name__ in diagnosis.found
        assert "canary" not in str(diagnosis)

    def test_of_a_check_that_raises_an_application_error_is_its_message(self):
        (diagnosis,) = diagnoses(NamedCheck("it", raising(DatabaseAway())))

        assert (diagnosis.verdict, diagnosis.found) == (Verdict.FAIL, "The database could not be reached")

    def test_does_not_wait_for_a_check_that_hangs(self):
        release = threading.Event()

        hanging, next_ = diagnoses(
            NamedCheck("hangs", lambda: [ok(str(release.wait()))]), NamedCheck("next", lambda: [ok("b")]), deadline=0.05
        )
        release.set()

        assert (hanging.verdict, hanging.found) == (Verdict.FAIL, "no answer within 0.05 s")
        assert next_.verdict is Verdict.OK


class TestCheckWithPrerequisite:
    def test_is_skipped_when_that_failed_and_names_the_first_cause(self):
        ran = []

        _, second, third = diagnoses(
            NamedCheck("first", lambda: [fail("a", "Do a.")]),
            NamedCheck("second", lambda: ran.append(2) or [], "first"),
            NamedCheck("third", lambda: ran.append(3) or [], "second"),
        )

        assert ran == []
        assert second == Diagnosis("second", Verdict.WARN, "not examined", "Correct `first` first.")
        assert third == Diagnosis("third", Verdict.WARN, "not examined", "Correct `first` first.")

    def test_runs_when_that_only_warned(self):
        _, second = diagnoses(
            NamedCheck("first", lambda: [warn("a", "b")]), NamedCheck("second", lambda: [ok("c")], "first")
        )

        assert second.verdict is Verdict.OK
