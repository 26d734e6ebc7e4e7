"""The reports on disk: the latest under a name that stays, and those before it, a bounded number."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from calyapp import atomic_file
from calyapp.health.service_checks import LastScan
from calyapp.vulnscan.report import Report

MODE = 0o640
"""The permissions of all reports: the owner writes, the group reads."""
_KEPT = 30
_LATEST = "latest.json"
_DATED = "scan-*.json"


def keep(folder: Path, report: Report) -> Path:
    """Write the report, each file at once or not at all, and remove all but the newest. Raises OSError."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    content = orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2) + b"\n"
    file = folder / f"scan-{report.scanned_at:%Y%m%dT%H%M%S.%fZ}.json"
    for path in (file, folder / _LATEST):
        atomic_file.write(path, content, MODE)
    for old in sorted(folder.glob(_DATED))[:-_KEPT]:
        old.unlink(missing_ok=True)  # another scan may be removing it as well
    return file


def latest(folder: Path) -> LastScan | None:
    """What the last scan found; None if there was none. Raises OSError, and ValueError for what is no report."""
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
