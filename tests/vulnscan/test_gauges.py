from dataclasses import replace
from datetime import UTC, datetime

from calyapp import metrics
from calyapp.vulnscan import archive, gauges
from calyapp.vulnscan.report import Report, Vulnerability
from calyapp.vulnscan.severity import Severity

NOON = datetime(2026, 7, 31, 12, tzinfo=UTC)
HIGH = Vulnerability("anvil", "1.0", "GHSA-1", (), Severity.HIGH, None, "It is weak.")
REPORT = Report(scanned_at=NOON, packages=1, findings=(HIGH,), skipped=(), problems=(), outdated=(), notes=())


def shown():
    lines = metrics.prometheus_text().decode().splitlines()
    return {
        name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith("caly_scan"))
    }


def test_show_what_the_last_scan_found(tmp_path):
    archive.keep(tmp_path, REPORT)

    gauges.measure(tmp_path)

    assert shown()['caly_scan_findings{severity="high"}'] == 1
    assert shown()['caly_scan_verdict{verdict="warning"}'] == 1
    assert shown()["caly_scan_timestamp_seconds"] == NOON.timestamp()


def test_forget_what_a_later_scan_found_no_more(tmp_path):
    archive.keep(tmp_path, REPORT)
    gauges.measure(tmp_path)

    archive.keep(tmp_path, replace(REPORT, findings=()))
    gauges.measure(tmp_path)

    assert shown()['caly_scan_findings{severity="high"}'] == 0
    assert shown()['caly_scan_verdict{verdict="warning"}'] == 0
    assert shown()['caly_scan_verdict{verdict="passed"}'] == 1


def test_stay_where_there_is_no_report_that_can_be_read(tmp_path):
    archive.keep(tmp_path, REPORT)
    gauges.measure(tmp_path)
    (tmp_path / "latest.json").write_text("{")

    gauges.measure(tmp_path)
    gauges.measure(tmp_path / "nowhere")

    assert shown()['caly_scan_findings{severity="high"}'] == 1
