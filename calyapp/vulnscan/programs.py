"""Runs the programs of a scan, which are Python modules: with a time limit, and without the keys in our settings."""

import os
import subprocess
import sys
from dataclasses import dataclass

from calyapp.config import Settings
from calyapp.vulnscan.report import ScanError


@dataclass(frozen=True, slots=True)
class Completed:
    """The output and the error output of a program. The latter can hold URLs with passwords."""

    output: str
    errors: str


def run(module: str, *arguments: str, seconds: float) -> Completed:
    """Runs `python -m module`, and accepts any exit code. Raises `ScanError` after `seconds`."""
    try:
        done = subprocess.run(  # noqa: S603 — no shell, and arguments of our own
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
        raise ScanError(f"{module} did not end within {seconds:.0f} seconds") from None
    return Completed(done.stdout, done.stderr)


def _environment() -> dict[str, str]:
    """Returns the environment without our settings, which hold keys, and PIP_AUDIT_*, which could change the result.

    Proxies, certificates and the configuration of pip stay.
    """
    ours = {setting.variable for setting in Settings.declared().values()}
    return {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("PIP_AUDIT_")}
