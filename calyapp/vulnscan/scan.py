"""One scan, from the requirements to the report: what holds, how bad it is, and all that could not be looked at."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from calyapp import clock
from calyapp.vulnscan import auditor
from calyapp.vulnscan import outdated as index
from calyapp.vulnscan.advisories import AdvisoryService
from calyapp.vulnscan.auditor import Audited, Weakness
from calyapp.vulnscan.report import NotLookedAt, Outdated, Report, Vulnerability
from calyapp.vulnscan.requirements import Pin, pins
from calyapp.vulnscan.severity import Severity, urgency

_NOTHING = Audited(packages=0, weaknesses=(), skipped=(), left_out=())


def scan(requirements: Path, service: AdvisoryService) -> Report:
    """Look at every requirement. What goes wrong stands in the report. Raises OSError for an unreadable file."""
    began = clock.now()
    problems: list[str] = []
    notes: list[str] = []
    wanted = pins(requirements)
    audited = _audit(requirements, wanted, service, problems)
    findings = sorted(_graded(audited.weaknesses, service, problems), key=_worst_first)
    return Report(
        scanned_at=began,
        packages=audited.packages,
        findings=tuple(findings),
        skipped=audited.skipped,
        problems=(*problems, *audited.left_out),
        outdated=_outdated(wanted, notes),
        notes=tuple(notes),
    )


def _audit(requirements: Path, wanted: list[Pin], service: AdvisoryService, problems: list[str]) -> Audited:
    try:
        service.check()
        audited = auditor.audit(requirements, wanted, service.query_url)
    except NotLookedAt as problem:
        problems.append(str(problem))
        return _NOTHING
    if not audited.packages:
        problems.append("There is no requirement that could be looked at")
    return audited


def _graded(weaknesses: Iterable[Weakness], service: AdvisoryService, problems: list[str]) -> Iterator[Vulnerability]:
    """Once the service is gone, it is not asked again for each of the rest."""
    away = False
    for weakness in weaknesses:
        severity = Severity.UNKNOWN
        if not away:
            try:
                severity = service.severity(weakness.ids)
            except NotLookedAt as problem:
                away = True
                problems.append(f"{problem}, when asked for severities")
        identifier, *aliases = weakness.ids
        yield Vulnerability(
            package=weakness.package,
            version=weakness.version,
            id=identifier,
            aliases=tuple(aliases),
            severity=severity,
            fixed_in=weakness.fixed_in,
            description=weakness.description,
        )


def _worst_first(finding: Vulnerability) -> tuple[int, str, str]:
    return urgency(finding.severity), finding.package, finding.id


def _outdated(wanted: list[Pin], notes: list[str]) -> tuple[Outdated, ...] | None:
    """A package may be outdated and safe: not to know it is worth a note, and leaves the scan complete."""
    try:
        return index.outdated(wanted)
    except NotLookedAt as problem:
        notes.append(f"Whether packages are outdated is not known: {problem}")
        return None
