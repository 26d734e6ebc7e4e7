"""One scan, from the requirements to the report."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from calyapp import clock
from calyapp.vulnscan import auditor, package_index
from calyapp.vulnscan.advisories import AdvisoryService
from calyapp.vulnscan.auditor import Advisory, AuditResult
from calyapp.vulnscan.report import Outdated, Report, ScanError, Vulnerability
from calyapp.vulnscan.requirements import Pin, pins
from calyapp.vulnscan.severity import Severity, urgency

_NOTHING_CHECKED = AuditResult(packages=0, advisories=(), skipped=(), unreadable=())


def scan(requirements: Path, service: AdvisoryService) -> Report:
    """Checks every requirement. Errors are part of the report. Raises `OSError` only for an unreadable file."""
    scanned_at = clock.now()
    problems: list[str] = []
    notes: list[str] = []
    required = pins(requirements)
    result = _audit(requirements, required, service, problems)
    vulnerabilities = sorted(_with_severity(result.advisories, service, problems), key=_worst_first)
    return Report(
        scanned_at=scanned_at,
        packages=result.packages,
        vulnerabilities=tuple(vulnerabilities),
        skipped=result.skipped,
        problems=(*problems, *result.unreadable),
        outdated=_outdated(required, notes),
        notes=tuple(notes),
    )


def _audit(requirements: Path, required: list[Pin], service: AdvisoryService, problems: list[str]) -> AuditResult:
    try:
        service.check()
        result = auditor.audit(requirements, required, service.query_url)
    except ScanError as error:
        problems.append(str(error))
        return _NOTHING_CHECKED
    if not result.packages:
        problems.append("No requirement could be checked")
    return result


def _with_severity(
    advisories: Iterable[Advisory], service: AdvisoryService, problems: list[str]
) -> Iterator[Vulnerability]:
    """Adds the severities. After the first failure the service is not asked again: all others are UNKNOWN."""
    failed = False
    for advisory in advisories:
        severity = Severity.UNKNOWN
        if not failed:
            try:
                severity = service.severity(advisory.ids)
            except ScanError as error:
                failed = True
                problems.append(f"{error}, when asked for severities")
        identifier, *aliases = advisory.ids
        yield Vulnerability(
            package=advisory.package,
            version=advisory.version,
            id=identifier,
            aliases=tuple(aliases),
            severity=severity,
            fixed_in=advisory.fixed_in,
            description=advisory.description,
        )


def _worst_first(vulnerability: Vulnerability) -> tuple[int, str, str]:
    return urgency(vulnerability.severity), vulnerability.package, vulnerability.id


def _outdated(required: list[Pin], notes: list[str]) -> tuple[Outdated, ...] | None:
    """An outdated package can be safe, so a failure here is a note and leaves the scan complete."""
    try:
        return package_index.outdated(required)
    except ScanError as error:
        notes.append(f"It is not known whether packages are outdated: {error}")
        return None
