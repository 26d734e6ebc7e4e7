import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from calyapp.health.service_checks import LastScan
from calyapp.vulnscan import archive
from calyapp.vulnscan.report import Report, Vulnerability
from calyapp.vulnscan.severity import Severity

NOON = datetime(2026, 7, 31, 12, tzinfo=UTC)
HIGH = Vulnerability("anvil", "1.0", "GHSA-1", (), Severity.HIGH, None, "It is weak.")
REPORT = Report(scanned_at=NOON, packages=1, findings=(HIGH,), skipped=(), problems=(), outdated=(), notes=())


class TestKeep:
    def test_writes_the_report_under_its_date_and_as_the_latest(self, tmp_path):
        file = archive.keep(tmp_path / "scan", REPORT)

        assert file.name == "scan-20260731T120000.000000Z.json"
        assert json.loads(file.read_bytes()) == REPORT.as_json()
        assert (tmp_path / "scan" / "latest.json").read_bytes() == file.read_bytes()

    def test_lets_nobody_else_read_it(self, tmp_path):
        file = archive.keep(tmp_path / "scan", REPORT)

        assert [path.stat().st_mode & 0o007 for path in (file, file.parent)] == [0, 0]

    def test_keeps_the_newest_thirty_and_what_is_not_its_own(self, tmp_path):
        (tmp_path / "sbom.json").touch()
        for minutes in range(32):
            archive.keep(tmp_path, replace(REPORT, scanned_at=NOON + timedelta(minutes=minutes)))

        names = sorted(path.name for path in tmp_path.iterdir())

        assert len(names) == 30 + 2
        assert names[:2] == ["latest.json", "sbom.json"]
        assert names[2] == "scan-20260731T120200.000000Z.json"

    def test_leaves_the_latest_as_it_was_where_it_cannot_write(self, tmp_path):
        archive.keep(tmp_path, REPORT)
        before = (tmp_path / "latest.json").read_bytes()
        later = replace(REPORT, scanned_at=NOON + timedelta(days=1))
        (tmp_path / "scan-20260801T120000.000000Z.json").mkdir()

        with pytest.raises(OSError, match="directory"):
            archive.keep(tmp_path, later)

        assert (tmp_path / "latest.json").read_bytes() == before
        assert not list(tmp_path.glob(".*"))


class TestLatest:
    def test_is_what_was_kept(self, tmp_path):
        archive.keep(tmp_path, REPORT)

        last = archive.latest(tmp_path)

        assert last == LastScan("WARNING", NOON, {"critical": 0, "high": 1, "unknown": 0, "medium": 0, "low": 0})

    def test_is_of_a_time_that_can_be_compared_whoever_wrote_the_file(self, tmp_path):
        (tmp_path / "latest.json").write_text(
            '{"status": "PASSED", "summary": {"scannedAt": "2026-07-31T12:00:00", "findings": {}}}'
        )

        assert archive.latest(tmp_path).scanned_at.tzinfo is UTC

    def test_is_none_where_nobody_looked(self, tmp_path):
        assert archive.latest(tmp_path / "scan") is None

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"status": "PASSED", "summary": {"scannedAt": "today"}}'])
    def test_is_refused_where_it_is_no_report(self, tmp_path, content):
        (tmp_path / "latest.json").write_text(content)

        with pytest.raises(ValueError, match=r".+"):
            archive.latest(tmp_path)
