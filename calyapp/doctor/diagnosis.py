"""Runs named checks one after the other, each with a deadline, and reports the result of each. Knows none of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from calyapp.errors import AppError
from calyapp.health.checks import Finding, Health, Run, no_answer
from calyapp.spool.journal import SpoolError

DEADLINE_SECONDS = 15.0


class Verdict(StrEnum):
    """The result of a check, from best to worst."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_VERDICTS = {Health.HEALTHY: Verdict.OK, Health.DEGRADED: Verdict.WARN, Health.UNHEALTHY: Verdict.FAIL}


def ok(message: str) -> Finding:
    """Returns a finding about something that is as it should be."""
    return Finding(Health.HEALTHY, message)


def warn(message: str, remedy: str) -> Finding:
    """Returns a finding about something that works, but not as well or as safely as it should."""
    return Finding(Health.DEGRADED, message, remedy)


def fail(message: str, remedy: str) -> Finding:
    """Returns a finding about something that breaks a promise of Caly."""
    return Finding(Health.UNHEALTHY, message, remedy)


def from_health(finding: Finding, message: str, severity: Callable[[str, str], Finding] = fail) -> Finding:
    """Returns the finding of a health check as the doctor reports it.

    A healthy one gets the message. Any other one becomes `fail` or `warn`, as `severity` says: health checks call
    unhealthy only what keeps the service from taking traffic.
    """
    if finding.status is Health.HEALTHY:
        return ok(finding.status_text or message)
    return severity(finding.message, finding.remedy)


@dataclass(frozen=True, slots=True)
class NamedCheck:
    """A check of the doctor: its name, what it runs, and the name of the check that has to succeed before it."""

    name: str
    run: Callable[[], Iterable[Finding]]
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of a check: its worst verdict, and the messages and remedies of the findings with that verdict.

    The names of the fields are those of `--json`.
    """

    check: str
    verdict: Verdict
    found: str
    remedy: str


def examine(checks: Iterable[NamedCheck], deadline: float = DEADLINE_SECONDS) -> Iterator[Diagnosis]:
    """Yields the diagnosis of each check as it ends, in their order. Each check may take `deadline` seconds.

    A check whose prerequisite failed is not run. Its diagnosis names the check that failed first.
    """
    causes: dict[str, str] = {}
    for check in checks:
        if cause := causes.get(check.needs):
            causes[check.name] = cause
            yield Diagnosis(check.name, Verdict.WARN, "not examined", f"Correct `{cause}` first.")
            continue
        diagnosis = _worst(check.name, _findings(check, deadline))
        if diagnosis.verdict is Verdict.FAIL:
            causes[check.name] = check.name
        yield diagnosis


def _findings(check: NamedCheck, deadline: float) -> Sequence[Finding]:
    try:
        return Run(lambda: _safely(check), name=f"doctor-{check.name}").result(deadline)
    except TimeoutError:
        return [no_answer(deadline)]


def _safely(check: NamedCheck) -> Sequence[Finding]:
    try:
        return list(check.run())
    except AppError as error:
        return [fail(error.message, "See the log of the service for the cause.")]
    except (OSError, SpoolError) as error:
        return [fail(str(error), "Give the user who runs the service access to it.")]
    except Exception as error:  # its text may hold a secret
        return [fail(f"could not be examined ({type(error).__name__})", "Report this as a fault of Caly.")]


def _worst(name: str, findings: Sequence[Finding]) -> Diagnosis:
    verdicts = [_VERDICTS[finding.status] for finding in findings]
    verdict = max(verdicts, key=list(Verdict).index, default=Verdict.OK)
    worst = [finding for finding in findings if _VERDICTS[finding.status] is verdict]
    # Several findings may have the same remedy.
    remedies = dict.fromkeys(finding.remedy for finding in worst if finding.remedy)
    return Diagnosis(name, verdict, "; ".join(finding.message for finding in worst), " ".join(remedies))
