import json

import pytest
from advisory_service import HIGH, advisory, requirements, scored

from calyapp.app import create_app
from calyapp.config import Settings


@pytest.fixture
def scan(advisories, caly, tmp_path):
    """`scan(*options)` scans one requirement and returns the result of the command."""
    file = requirements(tmp_path, "anvil==1.0")
    return lambda *options: caly("scan", "--requirements", file, "--osv-url", advisories.url, *options)


class TestScan:
    def test_prints_vulnerabilities_and_remedies(self, advisories, scan):
        advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", fixed=("1.2",), **scored(HIGH)))
        advisories.versions = {"anvil": ["2.0"]}

        result = scan()

        assert (result.exit_code, result.stderr) == (1, f"Asking {advisories.url} …\n")
        assert result.stdout.splitlines() == [
            "WARNING: known vulnerabilities: 1 high; packages checked: 1, skipped: 0, outdated: 1",
            "",
            "Known vulnerabilities:",
            "severity  package  id      remedy",
            "HIGH      anvil    GHSA-1  upgrade anvil from 1.0 to 1.2",
            "",
            "Outdated:",
            "name   version  latest",
            "anvil  1.0      2.0",
        ]

    def test_reports_an_incomplete_scan(self, advisories, scan):
        advisories.says["/v1/query"] = (503, "")

        result = scan()

        assert result.exit_code == 1
        assert result.stdout.splitlines()[:3] == [
            "INCOMPLETE: known vulnerabilities: unknown, because nothing was checked; "
            "packages checked: 0, skipped: 0, outdated: unknown",
            "Not everything was checked, so there may be more vulnerabilities.",
            f"  The advisory service at {advisories.url} answered 503",
        ]

    def test_sets_the_result_of_the_health_check(self, scan, client):
        scan()

        check = client.get("/health/detailed").json["checks"]["vulnerability scan"]

        assert (check["status"], check["result"]) == ("healthy", "PASSED")

    def test_exits_with_1_if_the_report_cannot_be_stored(self, advisories, scan, tmp_path):
        (tmp_path / "var").write_text("a file where the folder should be")

        result = scan("--json")

        assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, "PASSED")
        assert "Set SCAN_DIR to a folder that this user can write to" in result.stderr


class TestScanWithoutDatabase:
    @pytest.fixture
    def app(self):
        settings = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}
        app = create_app(Settings.from_env(settings))
        yield app
        app.extensions["caly"].close()

    def test_prints_and_stores_the_report(self, scan, tmp_path):
        result = scan("--json")

        assert (result.exit_code, json.loads(result.stdout)["status"]) == (0, "PASSED")
        assert result.stderr.startswith("The scan is not in the audit log. PostgreSQL refuses the connection")
        assert (tmp_path / "var" / "scan" / "latest.json").exists()
