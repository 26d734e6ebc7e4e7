"""Keeps the reports of scans on disk, a bounded number, and shows the latest in the metrics."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from calyapp import atomic_file, metrics
from calyapp.health.service_checks import LastScan
from calyapp.vulnscan.report import Report, ScanStatus

MODE = 0o640
"""The permissions of all reports: the owner writes, the group reads."""
_MAX_REPORTS = 30
_LATEST = "latest.json"
_DATED = "scan-*.json"
MEASURE_EVERY_SECONDS = 60.0


def keep(folder: Path, report: Report) -> Path:
    """Writes the report as the latest and under its date, removes old ones, and returns its path. Raises `OSError`."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    content = orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2) + b"\n"
    file = folder / f"scan-{report.scanned_at:%Y%m%dT%H%M%S.%fZ}.json"
    for path in (file, folder / _LATEST):
        atomic_file.write(path, content, MODE)
    for old in sorted(folder.glob(_DATED))[:-_MAX_REPORTS]:
        old.unlink(missing_ok=True)  # a concurrent scan may have removed it
    return file


def latest(folder: Path) -> LastScan | None:
    """Returns the last scan, or None before the first. Raises `OSError`, and `ValueError` for an invalid report."""
    try:
        content = (folder / _LATEST).read_bytes()
    except FileNotFoundError:
        return None
    report: Any = orjson.loads(content)
    try:
        summary = report["summary"]
        return LastScan(
            status=str(report["status"]),
            scanned_at=datetime.fromisoformat(summary["scannedAt"]).astimezone(UTC),
            counts={name: int(count) for name, count in summary["findings"].items()},
        )
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not a report of a scan") from None


def measure(folder: Path) -> None:
    """Sets the metrics to the last scan. Leaves them unchanged if there is no report, or an invalid one."""
    try:
        last = latest(folder)
    except (OSError, ValueError):
        return  # the health check reports it
    if last is None:
        return
    metrics.SCAN_TIMESTAMP.set(last.scanned_at.timestamp())
    for status in ScanStatus:
        metrics.SCAN_VERDICT.labels(status.lower()).set(last.status == status)
    for severity, count in last.counts.items():
        metrics.SCAN_FINDINGS.labels(severity).set(count)
