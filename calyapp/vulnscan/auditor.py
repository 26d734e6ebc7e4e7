"""Runs pip-audit: which requirements have known vulnerabilities, and which were not checked.

pip-audit leaves out some requirements and advisories without failing. This module reports each of them; where that
happens was read in the source of version 2.10.1.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from calyapp import redact
from calyapp.vulnscan import programs
from calyapp.vulnscan.report import ScanError, Skipped
from calyapp.vulnscan.requirements import Pin

_TIMEOUT_SECONDS = 600.0
_REQUEST_TIMEOUT_SECONDS = "15"
_MAX_TEXT_LENGTH = 300
_NOT_INSTALLED = "pip-audit is not installed: pip install --require-hashes -r requirements-scan.txt"


@dataclass(frozen=True, slots=True)
class Advisory:
    """A vulnerability of a requirement as pip-audit reports it, which does not know the severity."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: str | None
    description: str


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The number of packages that pip-audit checked, what it found, and the errors of advisories it could not read."""

    packages: int
    advisories: tuple[Advisory, ...]
    skipped: tuple[Skipped, ...]
    unreadable: tuple[str, ...]


def audit(requirements: Path, pins: list[Pin], query_url: str) -> AuditResult:
    """Checks each requirement with pip-audit and the advisory service. Raises `ScanError`.

    The file must have hashes for all packages. Then it is complete, and pip-audit neither resolves nor installs.
    """
    with TemporaryDirectory(prefix="caly-scan-") as cache:  # a service may not be able to write to the default folder
        completed = programs.run(
            "pip_audit",
            *("--requirement", str(requirements), "--require-hashes", "--disable-pip"),
            *("--vulnerability-service", "osv", "--osv-url", query_url, "--timeout", _REQUEST_TIMEOUT_SECONDS),
            *("--format", "json", "--output", "-", "--progress-spinner", "off", "--cache-dir", cache),
            seconds=_TIMEOUT_SECONDS,
        )
    try:
        dependencies = json.loads(completed.output)["dependencies"]
        checked = [dependency for dependency in dependencies if "skip_reason" not in dependency]
        skipped = [dependency for dependency in dependencies if "skip_reason" in dependency]
        return AuditResult(
            packages=len(checked),
            advisories=tuple(advisory for dependency in checked for advisory in _advisories(dependency)),
            skipped=(*map(_skipped, skipped), *_missing(pins, dependencies)),
            unreadable=tuple(_unreadable(completed.errors)),
        )
    except (
        ValueError,
        KeyError,
        TypeError,
    ):  # exit code 1 means vulnerabilities or failure: only the output distinguishes them
        raise ScanError(_failure(completed.errors)) from None


def _advisories(dependency: Mapping[str, Any]) -> Iterator[Advisory]:
    for vulnerability in dependency["vulns"]:
        yield Advisory(
            package=dependency["name"],
            version=dependency["version"],
            ids=tuple(map(_printable, (vulnerability["id"], *sorted(vulnerability["aliases"])))),
            fixed_in=_nearest_fix(dependency["version"], vulnerability["fix_versions"]),
            description=_short(vulnerability["description"]),
        )


def _nearest_fix(version: str, fixed: list[str]) -> str | None:
    """Returns the lowest fixed version above this one: lower versions are fixes of older branches."""
    try:
        above = [candidate for candidate in fixed if Version(candidate) > Version(version)]
    except InvalidVersion:
        return None
    return min(above, key=Version, default=None)


def _skipped(dependency: Mapping[str, Any]) -> Skipped:
    # The name of a requirement by URL is the URL, which can hold a password: `_short` masks it.
    return Skipped(_short(dependency["name"]), _short(dependency["skip_reason"]))


def _missing(pins: list[Pin], dependencies: list[Mapping[str, Any]]) -> Iterator[Skipped]:
    reported = {canonicalize_name(dependency["name"]) for dependency in dependencies}
    for pin in pins:
        if pin.name not in reported:
            yield Skipped(pin.name, "pip-audit does not report it")


def _unreadable(errors: str) -> Iterator[str]:
    """Yields the warnings about advisories that pip-audit cannot read and leaves out."""
    for warning in re.findall(r"^WARNING:pip_audit\._service\.\w+:(.+)$", errors, re.MULTILINE):
        yield f"pip-audit cannot read an advisory: {_short(warning)}"


def _failure(errors: str) -> str:
    if re.search(r"No module named '?pip_audit\b", errors):
        return _NOT_INSTALLED
    if messages := re.findall(r"^ERROR:pip_audit\.\w+:(.+)$", errors, re.MULTILINE):
        return f"pip-audit failed: {_short(messages[0])}"
    # The last line of a traceback. Only the name of the error is safe to show: its text can hold secrets.
    error = re.search(r"^(?:\w+\.)*(\w+)(?:: .*)?\Z", errors.strip(), re.MULTILINE)
    kind = f" ({error[1]})" if error else ""
    return f"pip-audit failed: the advisory service does not answer, or not as OSV does{kind}"


def _short(text: str) -> str:
    line = _printable(" ".join(redact.text(str(text)).split()))
    return line if len(line) <= _MAX_TEXT_LENGTH else line[: _MAX_TEXT_LENGTH - 1] + "…"


def _printable(text: str) -> str:
    """Replaces unprintable characters: on a terminal they could move the cursor or start a line."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
