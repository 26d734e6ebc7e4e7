"""Checks of the daily timers: the last backup and the last vulnerability scan."""

from collections.abc import Callable, Iterator
from functools import partial

from calyapp.audit import backups
from calyapp.audit.backups import LatestBackups
from calyapp.config import AppEnv, Settings
from calyapp.doctor.diagnosis import NamedCheck, fail, from_health, warn
from calyapp.health import service_checks
from calyapp.health.checks import Finding
from calyapp.health.service_checks import LastScan
from calyapp.services import Services
from calyapp.vulnscan import archive


def checks(services: Services) -> list[NamedCheck]:
    """Returns the checks of the backup, as the audit log has it, and of the scan, as its report in SCAN_DIR has it."""
    settings = services.settings
    latest_backups = partial(backups.latest, services.event_reader)
    return [
        NamedCheck("backup", lambda: check_backup(latest_backups, settings), "migrations"),
        NamedCheck("vulnerability scan", lambda: check_scan(partial(archive.latest, settings.scan_dir))),
    ]


def check_backup(latest_backups: Callable[[], LatestBackups], settings: Settings) -> Iterator[Finding]:
    """Fails if the last backup failed, did not end or is old. Warns if there is none yet."""
    finding = service_checks.check_backup(latest_backups, is_required=settings.app_env is AppEnv.PRODUCTION)
    is_first = not any(finding.facts.values())
    yield from_health(finding, f"completed at {finding.facts.get('completedAt')}", warn if is_first else fail)


def check_scan(last_scan: Callable[[], LastScan | None]) -> Iterator[Finding]:
    """Fails if the last scan failed. Warns about anything else."""
    finding = service_checks.check_scan(last_scan)
    has_failed = finding.facts.get("result") == "FAILED"
    if finding.status_text:
        yield warn(finding.status_text, finding.remedy)
    else:
        yield from_health(
            finding, f"{finding.facts.get('result')} at {finding.facts.get('scannedAt')}", fail if has_failed else warn
        )
