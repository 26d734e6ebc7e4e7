from datetime import UTC, datetime

import pytest

from calyapp.vulnscan.report import Outdated, Report, Skipped, Vulnerability
from calyapp.vulnscan.severity import Severity


def vulnerability(severity: Severity, fixed_in: str | None = "2.0") -> Vulnerability:
    return Vulnerability("anvil", "1.0", "GHSA-1", ("CVE-1",), severity, fixed_in, "It is weak.")


def report(*severities: Severity, packages: int = 1, skipped=(), problems=(), outdated=()) -> Report:
    return Report(
        scanned_at=datetime(2026, 7, 31, 12, tzinfo=UTC),
        packages=packages,
        vulnerabilities=tuple(map(vulnerability, severities)),
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
    def test_is_that_of_the_worst_vulnerability(self, severities, status):
        assert report(*severities).status == status

    @pytest.mark.parametrize(
        "unchecked", [{"skipped": (Skipped("anvil", "why"),)}, {"problems": ("The service is away",)}, {"packages": 0}]
    )
    @pytest.mark.parametrize(
        ("severities", "status"),
        [((), "INCOMPLETE"), ((Severity.HIGH,), "INCOMPLETE"), ((Severity.CRITICAL,), "FAILED")],
    )
    def test_is_incomplete_unless_there_is_a_critical_vulnerability(self, unchecked, severities, status):
        incomplete = report(*severities, **unchecked)

        assert incomplete.status == status
        assert incomplete.as_json()["summary"]["complete"] is False

    def test_is_passed_even_if_outdated_packages_are_not_known(self):
        assert report(outdated=None).status == "PASSED"


class TestAsJson:
    def test_has_the_names_that_scripts_depend_on(self):
        json_report = report(Severity.HIGH, outdated=(Outdated("anvil", "1.0", "2.1"),)).as_json()

        assert list(json_report) == ["status", "summary", "findings", "skipped", "outdated"]
        assert json_report["summary"]["scannedAt"] == "2026-07-31T12:00:00.000Z"
        assert json_report["summary"]["findings"] == {"critical": 0, "high": 1, "unknown": 0, "medium": 0, "low": 0}
        assert json_report["findings"][0]["remedy"] == "upgrade anvil from 1.0 to 2.0"
        assert json_report["outdated"] == [{"name": "anvil", "version": "1.0", "latest": "2.1"}]

    def test_distinguishes_no_outdated_packages_from_unknown(self):
        assert report().as_json()["summary"]["outdated"] == 0
        assert report(outdated=None).as_json()["summary"]["outdated"] is None


def test_the_remedy_without_a_fix_refers_to_the_advisory():
    assert vulnerability(Severity.HIGH, None).remedy == "no fixed version yet: see GHSA-1 for what helps until then"
