from datetime import UTC, datetime

import pytest

from calyapp.vulnscan.report import Outdated, Report, Skipped, Vulnerability
from calyapp.vulnscan.severity import Severity


def finding(severity: Severity, fixed_in: str | None = "2.0") -> Vulnerability:
    return Vulnerability("anvil", "1.0", "GHSA-1", ("CVE-1",), severity, fixed_in, "It is weak.")


def report(*severities: Severity, packages: int = 1, skipped=(), problems=(), outdated=()) -> Report:
    return Report(
        scanned_at=datetime(2026, 7, 31, 12, tzinfo=UTC),
        packages=packages,
        findings=tuple(map(finding, severities)),
        skipped=skipped,
        problems=problems,
        outdated=outdated,
        notes=(),
    )


class TestStatus:
    @pytest.mark.parametrize(
        ("severities", "status"),
        [
            ((), "PASSED"),
            ((Severity.LOW, Severity.MEDIUM), "PASSED"),
            ((Severity.LOW, Severity.HIGH), "WARNING"),
            ((Severity.UNKNOWN,), "WARNING"),
            ((Severity.HIGH, Severity.CRITICAL), "FAILED"),
        ],
    )
    def test_is_that_of_the_worst_finding(self, severities, status):
        assert report(*severities).status == status

    @pytest.mark.parametrize(
        "unseen", [{"skipped": (Skipped("anvil", "why"),)}, {"problems": ("The service is away",)}, {"packages": 0}]
    )
    @pytest.mark.parametrize(
        ("severities", "status"),
        [((), "INCOMPLETE"), ((Severity.HIGH,), "INCOMPLETE"), ((Severity.CRITICAL,), "FAILED")],
    )
    def test_is_incomplete_unless_the_worst_is_known_already(self, unseen, severities, status):
        seen = report(*severities, **unseen)

        assert seen.status == status
        assert seen.as_json()["summary"]["complete"] is False

    def test_is_passed_though_nobody_could_say_what_is_outdated(self):
        assert report(outdated=None).status == "PASSED"


class TestAsJson:
    def test_is_what_scripts_rely_on(self):
        told = report(Severity.HIGH, outdated=(Outdated("anvil", "1.0", "2.1"),)).as_json()

        assert list(told) == ["status", "summary", "findings", "skipped", "outdated"]
        assert told["summary"]["scannedAt"] == "2026-07-31T12:00:00.000Z"
        assert told["summary"]["findings"] == {"critical": 0, "high": 1, "unknown": 0, "medium": 0, "low": 0}
        assert told["findings"][0]["remedy"] == "upgrade anvil from 1.0 to 2.0"
        assert told["outdated"] == [{"name": "anvil", "version": "1.0", "latest": "2.1"}]

    def test_tells_none_outdated_from_nobody_knows(self):
        assert report().as_json()["summary"]["outdated"] == 0
        assert report(outdated=None).as_json()["summary"]["outdated"] is None


def test_the_remedy_says_where_there_is_no_fix():
    assert finding(Severity.HIGH, None).remedy == "no fixed version yet: see GHSA-1 for what helps until then"
