"""Of which required packages the index has newer versions. pip asks it: it knows where, and the password."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from packaging.version import InvalidVersion, Version

from calyapp.vulnscan import programs
from calyapp.vulnscan.report import NotLookedAt, Outdated
from calyapp.vulnscan.requirements import Pin

_SECONDS = 60.0
_AT_A_TIME = 4


def outdated(pins: Iterable[Pin]) -> tuple[Outdated, ...]:
    """Those that are behind the newest version for this Python, without previews. Raises `NotLookedAt`.

    One question a package: `pip list --outdated` calls everything up to date when it cannot reach the index.
    """
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        found = list(threads.map(_newer, pins))
    return tuple(one for one in found if one)


def _newer(pin: Pin) -> Outdated | None:
    options = ("--no-input", "--disable-pip-version-check", "--no-cache-dir", "--retries", "0", "--timeout", "10")
    ended = programs.run("pip", *options, "index", "versions", pin.name, "--json", seconds=_SECONDS)
    try:
        latest = str(json.loads(ended.output)["latest"])
        return Outdated(pin.name, pin.version, latest) if Version(latest) > Version(pin.version) else None
    except (ValueError, KeyError, TypeError, InvalidVersion):
        raise NotLookedAt(f"the package index did not say which versions of {pin.name} there are") from None
