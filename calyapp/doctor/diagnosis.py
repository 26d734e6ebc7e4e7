"""Runs named checks one after the other, each with a deadline, and says of each how it ended. Knows none of them."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum

from calyapp.errors import AppError
from calyapp.health import checks as health
from calyapp.spool.journal import SpoolError

DEADLINE_SECONDS = 15.0


class Verdict(StrEnum):
    """From best to worst."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen, and what to do about it if it is not fine."""

    verdict: Verdict
    found: str
    remedy: str = ""


def ok(found: str) -> Finding:
    """As it should be."""
    return Finding(Verdict.OK, found)


def warn(found: str, remedy: str) -> Finding:
    """It works, but not as well or as safely as it should."""
    return Finding(Verdict.WARN, found, remedy)


def fail(found: str, remedy: str) -> Finding:
    """Something that Caly promises does not hold like this."""
    return Finding(Verdict.FAIL, found, remedy)


def of_health(finding: health.Finding, found: str, judge: Callable[[str, str], Finding] = fail) -> Finding:
    """What a health check found, in the doctor's terms: `found` if nothing is wrong, else as `judge` says."""
    if finding.status is health.Health.HEALTHY:
        return ok(finding.shown or found)
    return judge(finding.reason, finding.remedy)


Look = Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """What to look at, by name; in vain where the check that it needs failed."""

    name: str
    look: Look
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """How a check ended: the worst that it found, with the remedies of that."""

    check: str
    verdict: Verdict
    found: str
    remedy: str


def examine(checks: Iterable[Check], deadline: float = DEADLINE_SECONDS) -> Iterator[Diagnosis]:
    """Each check's diagnosis as it ends, in their order; every check has so many seconds."""
    causes: dict[str, str] = {}
    for check in checks:
        if cause := causes.get(check.needs):
            causes[check.name] = cause
            yield Diagnosis(check.name, Verdict.WARN, "not examined", f"Mend `{cause}` first.")
            continue
        diagnosis = _worst(check.name, _within(deadline, check.look))
        if diagnosis.verdict is Verdict.FAIL:
            causes[check.name] = check.name
        yield diagnosis


def _within(seconds: float, look: Look) -> Sequence[Finding]:
    outcome: Future[Sequence[Finding]] = Future()
    # A daemon: what hangs must not keep the command from ending.
    threading.Thread(target=lambda: outcome.set_result(_seen(look)), daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        return [fail(f"no answer within {seconds:g} s", "See what it waits for: the network, or the disk.")]


def _seen(look: Look) -> Sequence[Finding]:
    try:
        return list(look())
    except AppError as error:
        return [fail(error.message, "See the log of the service for the cause.")]
    except (OSError, SpoolError) as error:
        return [fail(str(error), "Give the user who runs the service access to it.")]
    except Exception as error:  # its text may hold anything
        return [fail(f"could not be examined ({type(error).__name__})", "Report this: it should not happen.")]


def _worst(name: str, findings: Sequence[Finding]) -> Diagnosis:
    verdict = max((finding.verdict for finding in findings), key=list(Verdict).index, default=Verdict.OK)
    worst = [finding for finding in findings if finding.verdict is verdict]
    # The same remedy may be that of several findings.
    remedies = dict.fromkeys(finding.remedy for finding in worst if finding.remedy)
    return Diagnosis(name, verdict, "; ".join(finding.found for finding in worst), " ".join(remedies))
