"""What a scan found, what it could not look at, and the verdict. Knows nothing of how either came about.

Nothing found is not the same as nothing looked at: a report that is not complete never says that all is well.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from calyapp import clock
from calyapp.vulnscan.severity import Severity


class NotLookedAt(Exception):  # noqa: N818 — it is what became of it that is named
    """Something could not be looked at; the message says what and why, and holds no secret."""


class ScanStatus(StrEnum):
    """The verdict. The first that applies counts: FAILED, INCOMPLETE, WARNING, PASSED."""

    PASSED = "PASSED"
    WARNING = "WARNING"
    FAILED = "FAILED"
    INCOMPLETE = "INCOMPLETE"


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A known weakness of a package in the version that is required; `fixed_in` is the nearest version without it."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    severity: Severity
    fixed_in: str | None
    description: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.fixed_in:
            return f"upgrade {self.package} from {self.version} to {self.fixed_in}"
        return f"no fixed version yet: see {self.id} for what helps until then"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A requirement that was not looked at."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outdated:
    """A package of which there is a newer version."""

    name: str
    version: str
    latest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One scan. `problems` are why it is not complete; `notes` tell of what does not matter for that.

    `outdated` is None where nobody could say.
    """

    scanned_at: datetime
    packages: int
    findings: tuple[Vulnerability, ...]
    skipped: tuple[Skipped, ...]
    problems: tuple[str, ...]
    outdated: tuple[Outdated, ...] | None
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Everything was looked at, and there was something to look at."""
        return bool(self.packages) and not self.skipped and not self.problems

    @property
    def status(self) -> ScanStatus:
        """A critical finding stands, whatever else was not looked at; anything less might hide one."""
        severities = {finding.severity for finding in self.findings}
        if Severity.CRITICAL in severities:
            return ScanStatus.FAILED
        if not self.complete:
            return ScanStatus.INCOMPLETE
        return ScanStatus.WARNING if severities & {Severity.HIGH, Severity.UNKNOWN} else ScanStatus.PASSED

    def counts(self) -> dict[str, int]:
        """Findings by severity, in small letters, the worst first."""
        counted = Counter(finding.severity for finding in self.findings)
        return {severity.lower(): counted[severity] for severity in reversed(Severity)}

    def as_json(self) -> dict[str, Any]:
        """As scripts read it, and as it is kept."""
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
            "findings": [_finding(finding) for finding in self.findings],
            "skipped": [asdict(skipped) for skipped in self.skipped],
            "outdated": [asdict(outdated) for outdated in self.outdated or ()],
        }


def _finding(finding: Vulnerability) -> dict[str, Any]:
    return {
        "package": finding.package,
        "version": finding.version,
        "id": finding.id,
        "aliases": list(finding.aliases),
        "severity": finding.severity.value,
        "fixedIn": finding.fixed_in,
        "remedy": finding.remedy,
        "description": finding.description,
    }
