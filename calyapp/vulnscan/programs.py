"""Programs of other people that a scan lets work, each a Python module: bounded in time, and without our keys."""

import os
import subprocess
import sys
from dataclasses import dataclass

from calyapp.config import Settings
from calyapp.vulnscan.report import NotLookedAt


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: what it printed, and what it complained of. The latter may hold addresses with passwords."""

    output: str
    complaints: str


def run(module: str, *arguments: str, seconds: float) -> Ended:
    """Let `python -m module` work to its end, whatever its exit code. Raises `NotLookedAt` after so many seconds."""
    try:
        done = subprocess.run(  # noqa: S603 — our own words
            [sys.executable, "-m", module, *arguments],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotLookedAt(f"{module} did not end within {seconds:.0f} seconds") from None
    return Ended(done.stdout, done.stderr)


def _environment() -> dict[str, str]:
    """Without our settings, whose keys are nobody else's, and without PIP_AUDIT_*, which could change what it says.

    Proxies, certificates and pip's own configuration stay.
    """
    ours = {setting.variable for setting in Settings.declared().values()}
    return {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("PIP_AUDIT_")}
