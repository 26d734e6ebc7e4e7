"""The report of a scan: the vulnerabilities, what could not be checked, and the status.

A report that is not complete is never PASSED, because an unchecked package can have a vulnerability.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from calyapp import clock
from calyapp.vulnscan.severity import Severity


class ScanError(Exception):
    """Something could not be checked. The message says what and why, and holds no secret."""


class ScanStatus(StrEnum):
    """The result of a scan: the first of FAILED, INCOMPLETE, WARNING and PASSED that applies."""

    PASSED = "PASSED"
    WARNING = "WARNING"
    FAILED = "FAILED"
    INCOMPLETE = "INCOMPLETE"


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A known vulnerability of a required package. `fixed_in` is the nearest version without it, or None."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    severity: Severity
    fixed_in: str | None
    description: str

    @property
    def remedy(self) -> str:
        """What the operator should do."""
        if self.fixed_in:
            return f"upgrade {self.package} from {self.version} to {self.fixed_in}"
        return f"no fixed version yet: see {self.id} for what helps until then"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A requirement that was not checked."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outdated:
    """A required package with a newer version."""

    name: str
    version: str
    latest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One scan. `problems` are the reasons why it is incomplete; `notes` do not affect that.

    `packages` counts what was checked. `outdated` is None if it is not known.
    """

    scanned_at: datetime
    packages: int
    vulnerabilities: tuple[Vulnerability, ...]
    skipped: tuple[Skipped, ...]
    problems: tuple[str, ...]
    outdated: tuple[Outdated, ...] | None
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether all packages were checked, and there was at least one."""
        return bool(self.packages) and not self.skipped and not self.problems

    @property
    def status(self) -> ScanStatus:
        """FAILED even if incomplete: a critical vulnerability stays one, whatever else was not checked."""
        severities = {vulnerability.severity for vulnerability in self.vulnerabilities}
        if Severity.CRITICAL in severities:
            return ScanStatus.FAILED
        if not self.complete:
            return ScanStatus.INCOMPLETE
        return ScanStatus.WARNING if severities & {Severity.HIGH, Severity.UNKNOWN} else ScanStatus.PASSED

    def counts(self) -> dict[str, int]:
        """The number of vulnerabilities by severity in lower case, the worst first."""
        counted = Counter(vulnerability.severity for vulnerability in self.vulnerabilities)
        return {severity.lower(): counted[severity] for severity in reversed(Severity)}

    def as_json(self) -> dict[str, Any]:
        """The report as the command prints it and the archive keeps it. Scripts depend on its names."""
        return {
            "status": self.status.value,
            "summary": {
                "scannedAt": clock.iso(self.scanned_at),
                "packages": self.packages,
                "findings": self.counts(),
                "skipped": len(self.skipped),
                "outdated": None if self.outdated is None else len(self.outdated),
                "complete": self.complete,
                "problems": list(self.problems),
                "notes": list(self.notes),
            },
            "findings": [_as_json(vulnerability) for vulnerability in self.vulnerabilities],
            "skipped": [asdict(skipped) for skipped in self.skipped],
            "outdated": [asdict(outdated) for outdated in self.outdated or ()],
        }


def _as_json(vulnerability: Vulnerability) -> dict[str, Any]:
    return {
        "package": vulnerability.package,
        "version": vulnerability.version,
        "id": vulnerability.id,
        "aliases": list(vulnerability.aliases),
        "severity": vulnerability.severity.value,
        "fixedIn": vulnerability.fixed_in,
        "remedy": vulnerability.remedy,
        "description": vulnerability.description,
    }
