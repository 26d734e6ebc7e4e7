"""What timers do each day: whether the last backup and the last vulnerability scan are there, recent and good."""

from collections.abc import Callable, Iterator
from functools import partial

from calyapp.audit import backups
from calyapp.audit.backups import LatestBackups
from calyapp.config import AppEnv, Settings
from calyapp.doctor.diagnosis import Check, Finding, fail, of_health, warn
from calyapp.health.probes import LastScan, probe_backup, probe_scan
from calyapp.services import Services
from calyapp.vulnscan import archive


def checks(services: Services) -> list[Check]:
    """Of the backup, which the audit trail knows, and of the scan, whose report is in SCAN_DIR."""
    settings = services.settings
    latest_backups = partial(backups.latest, services.event_reader)
    return [
        Check("backup", lambda: look_at_backup(latest_backups, settings), "migrations"),
        Check("vulnerability scan", lambda: look_at_scan(partial(archive.latest, settings.scan_dir))),
    ]


def look_at_backup(latest_backups: Callable[[], LatestBackups], settings: Settings) -> Iterator[Finding]:
    """It fails if the last backup failed, never ended or is old; without any, it warns: the first is yet to come."""
    finding = probe_backup(latest_backups, is_required=settings.app_env is AppEnv.PRODUCTION)
    is_first = not any(finding.facts.values())
    yield of_health(finding, f"completed at {finding.facts.get('completedAt')}", warn if is_first else fail)


def look_at_scan(last_scan: Callable[[], LastScan | None]) -> Iterator[Finding]:
    """A critical weakness fails; anything else that is wrong warns."""
    finding = probe_scan(last_scan)
    has_failed = finding.facts.get("result") == "FAILED"
    if finding.shown:
        yield warn(finding.shown, finding.remedy)
    else:
        yield of_health(
            finding, f"{finding.facts.get('result')} at {finding.facts.get('scannedAt')}", fail if has_failed else warn
        )
