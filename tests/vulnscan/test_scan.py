import pytest
from advisory_service import CRITICAL, MEDIUM, advisory, requirements, scored

from calyapp.vulnscan.advisories import AdvisoryService
from calyapp.vulnscan.scan import scan


@pytest.fixture
def scanned(advisories, tmp_path):
    """`scanned(*lines)` returns the report on these requirements."""
    return lambda *lines: scan(requirements(tmp_path, *lines), AdvisoryService(advisories.url))


class TestScan:
    def test_sorts_the_worst_first(self, advisories, scanned):
        advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", **scored(MEDIUM)))
        advisories.publish("saw", "1.0", advisory("GHSA-2", "saw"))
        advisories.publish("saw", "1.0", advisory("GHSA-3", "saw", **scored(CRITICAL)))

        report = scanned("anvil==1.0", "saw==1.0")

        assert [(one.id, one.severity) for one in report.vulnerabilities] == [
            ("GHSA-3", "CRITICAL"),
            ("GHSA-2", "UNKNOWN"),
            ("GHSA-1", "MEDIUM"),
        ]
        assert report.complete

    def test_is_incomplete_and_asks_no_more_after_a_failure_to_get_a_severity(self, advisories, scanned):
        advisories.says["/v1/vulns/"] = (500, "")
        for number in range(3):
            advisories.publish("anvil", "1.0", advisory(f"GHSA-{number}", "anvil"))

        report = scanned("anvil==1.0")

        assert [one.severity for one in report.vulnerabilities] == ["UNKNOWN"] * 3
        assert report.problems == (f"The advisory service at {advisories.url} answered 500, when asked for severities",)
        assert sum(path.startswith("/v1/vulns/") for path in advisories.asked) == 1

    def test_stops_if_the_service_knows_nothing(self, advisories, scanned):
        advisories.says["/v1/query"] = (200, "{}")

        report = scanned("anvil==1.0")

        assert (report.packages, report.status) == (0, "INCOMPLETE")
        assert advisories.asked.count("/v1/query") == 1

    def test_of_no_requirements_is_incomplete(self, scanned):
        report = scanned()

        assert report.problems == ("No requirement could be checked",)

    def test_notes_an_index_that_does_not_answer_and_stays_complete(self, advisories, scanned):
        advisories.says["/simple/"] = (503, "")

        report = scanned("anvil==1.0")

        assert (report.status, report.outdated) == ("PASSED", None)
        assert report.notes[0].startswith(
            "It is not known whether packages are outdated: the package index did not return"
        )
