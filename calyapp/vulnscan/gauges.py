"""The last scan in figures, for the metrics."""

from pathlib import Path

from calyapp import metrics
from calyapp.vulnscan import archive
from calyapp.vulnscan.report import ScanStatus

EVERY_SECONDS = 60.0


def measure(folder: Path) -> None:
    """Set the gauges to what the last scan found; they stay as they are where there is none that can be read."""
    try:
        last = archive.latest(folder)
    except (OSError, ValueError):
        return  # its health check tells
    if last is None:
        return
    metrics.SCAN_TIMESTAMP.set(last.scanned_at.timestamp())
    for verdict in ScanStatus:
        metrics.SCAN_VERDICT.labels(verdict.lower()).set(last.status == verdict)
    for severity, count in last.counts.items():
        metrics.SCAN_FINDINGS.labels(severity).set(count)
