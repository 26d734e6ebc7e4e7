"""Asks the package index for newer versions, through pip, which knows the index and its credentials."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from packaging.version import InvalidVersion, Version

from calyapp.vulnscan import programs
from calyapp.vulnscan.report import Outdated, ScanError
from calyapp.vulnscan.requirements import Pin

_TIMEOUT_SECONDS = 60.0
_MAX_THREADS = 4


def outdated(pins: Iterable[Pin]) -> tuple[Outdated, ...]:
    """Returns the packages older than their newest final version for this Python. Raises `ScanError`.

    Asks for each package alone, because `pip list --outdated` reports none when it cannot reach the index.
    """
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        results = list(threads.map(_newer, pins))
    return tuple(filter(None, results))


def _newer(pin: Pin) -> Outdated | None:
    options = ("--no-input", "--disable-pip-version-check", "--no-cache-dir", "--retries", "0", "--timeout", "10")
    completed = programs.run("pip", *options, "index", "versions", pin.name, "--json", seconds=_TIMEOUT_SECONDS)
    try:
        latest = str(json.loads(completed.output)["latest"])
        return Outdated(pin.name, pin.version, latest) if Version(latest) > Version(pin.version) else None
    except (ValueError, KeyError, TypeError, InvalidVersion):
        raise ScanError(f"the package index did not return the versions of {pin.name}") from None
