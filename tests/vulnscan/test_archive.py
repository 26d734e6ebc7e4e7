import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from calyapp import metrics
from calyapp.health.service_checks import LastScan
from calyapp.vulnscan import archive
from calyapp.vulnscan.report import Report, Vulnerability
from calyapp.vulnscan.severity import Severity

NOON = datetime(2026, 7, 31, 12, tzinfo=UTC)
HIGH = Vulnerability("anvil", "1.0", "GHSA-1", (), Severity.HIGH, None, "It is weak.")
REPORT = Report(scanned_at=NOON, packages=1, vulnerabilities=(HIGH,), skipped=(), problems=(), outdated=(), notes=())


def scan_metrics() -> dict[str, float]:
    lines = metrics.prometheus_text().decode().splitlines()
    return {
        name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith("caly_scan"))
    }


class TestKeep:
    def test_writes_the_report_under_its_date_and_as_the_latest(self, tmp_path):
        file = archive.keep(tmp_path / "scan", REPORT)

        assert file.name == "scan-20260731T120000.000000Z.json"
        assert json.loads(file.read_bytes()) == REPORT.as_json()
        assert (tmp_path / "scan" / "latest.json").read_bytes() == file.read_bytes()

    def test_writes_files_that_others_cannot_read(self, tmp_path):
        file = archive.keep(tmp_path / "scan", REPORT)

        assert [path.stat().st_mode & 0o007 for path in (file, file.parent)] == [0, 0]

    def test_keeps_the_newest_30_reports_and_all_other_files(self, tmp_path):
        (tmp_path / "sbom.json").touch()
        for minutes in range(32):
            archive.keep(tmp_path, replace(REPORT, scanned_at=NOON + timedelta(minutes=minutes)))

        names = sorted(path.name for path in tmp_path.iterdir())

        assert len(names) == 30 + 2
        assert names[:2] == ["latest.json", "sbom.json"]
        assert names[2] == "scan-20260731T120200.000000Z.json"

    def test_leaves_the_latest_unchanged_if_it_cannot_write(self, tmp_path):
        archive.keep(tmp_path, REPORT)
        before = (tmp_path / "latest.json").read_bytes()
        later = replace(REPORT, scanned_at=NOON + timedelta(days=1))
        (tmp_path / "scan-20260801T120000.000000Z.json").mkdir()

        with pytest.raises(OSError, match="directory"):
            archive.keep(tmp_path, later)

        assert (tmp_path / "latest.json").read_bytes() == before
        assert not list(tmp_path.glob(".*"))


class TestLatest:
    def test_returns_the_kept_report(self, tmp_path):
        archive.keep(tmp_path, REPORT)

        last = archive.latest(tmp_path)

        assert last == LastScan("WARNING", NOON, {"critical": 0, "high": 1, "unknown": 0, "medium": 0, "low": 0})

    def test_returns_a_time_with_a_zone_even_if_the_file_has_none(self, tmp_path):
        (tmp_path / "latest.json").write_text(
            '{"status": "PASSED", "summary": {"scannedAt": "2026-07-31T12:00:00", "findings": {}}}'
        )

        assert archive.latest(tmp_path).scanned_at.tzinfo is UTC

    def test_is_none_before_the_first_scan(self, tmp_path):
        assert archive.latest(tmp_path / "scan") is None

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"status": "PASSED", "summary": {"scannedAt": "today"}}'])
    def test_raises_for_an_invalid_report(self, tmp_path, content):
        (tmp_path / "latest.json").write_text(content)

        with pytest.raises(ValueError, match=r".+"):
            archive.latest(tmp_path)


class TestMeasure:
    def test_shows_the_last_scan(self, tmp_path):
        archive.keep(tmp_path, REPORT)

        archive.measure(tmp_path)

        assert scan_metrics()['caly_scan_findings{severity="high"}'] == 1
        assert scan_metrics()['caly_scan_verdict{verdict="warning"}'] == 1
        assert scan_metrics()["caly_scan_timestamp_seconds"] == NOON.timestamp()

    def test_resets_what_a_later_scan_did_not_find(self, tmp_path):
        archive.keep(tmp_path, REPORT)
        archive.measure(tmp_path)

        archive.keep(tmp_path, replace(REPORT, vulnerabilities=()))
        archive.measure(tmp_path)

        assert scan_metrics()['caly_scan_findings{severity="high"}'] == 0
        assert scan_metrics()['caly_scan_verdict{verdict="warning"}'] == 0
        assert scan_metrics()['caly_scan_verdict{verdict="passed"}'] == 1

    def test_leaves_the_metrics_unchanged_without_a_valid_report(self, tmp_path):
        archive.keep(tmp_path, REPORT)
        archive.measure(tmp_path)
        (tmp_path / "latest.json").write_text("{")

        archive.measure(tmp_path)
        archive.measure(tmp_path / "nowhere")

        assert scan_metrics()['caly_scan_findings{severity="high"}'] == 1
