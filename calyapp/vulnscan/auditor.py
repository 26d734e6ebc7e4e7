"""pip-audit at work: which requirements have known weaknesses, and which it did not look at.

It is believed in nothing that it passes over in silence: of 2.10.1 the source was read for where that happens.
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
from calyapp.vulnscan.report import NotLookedAt, Skipped
from calyapp.vulnscan.requirements import Pin

_SECONDS = 600.0
_REQUEST_SECONDS = "15"
_MAX_TEXT_LENGTH = 300
_NOT_INSTALLED = "pip-audit is not installed: pip install --require-hashes -r requirements-scan.txt"


@dataclass(frozen=True, slots=True)
class Weakness:
    """An advisory that holds for a requirement; how bad it is pip-audit does not know."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: str | None
    description: str


@dataclass(frozen=True, slots=True)
class Audited:
    """What pip-audit said, and (`left_out`) which advisories it could not read and would have kept to itself."""

    packages: int
    weaknesses: tuple[Weakness, ...]
    skipped: tuple[Skipped, ...]
    left_out: tuple[str, ...]


def audit(requirements: Path, pins: list[Pin], query_url: str) -> Audited:
    """Let pip-audit ask the service about each requirement. Raises `NotLookedAt`.

    The file must be hashed throughout: then it is complete, and pip-audit asks no resolver and installs nothing.
    """
    with TemporaryDirectory(prefix="caly-scan-") as cache:  # its own place may be closed to a service
        ended = programs.run(
            "pip_audit",
            *("--requirement", str(requirements), "--require-hashes", "--disable-pip"),
            *("--vulnerability-service", "osv", "--osv-url", query_url, "--timeout", _REQUEST_SECONDS),
            *("--format", "json", "--output", "-", "--progress-spinner", "off", "--cache-dir", cache),
            seconds=_SECONDS,
        )
    try:
        dependencies = json.loads(ended.output)["dependencies"]
        looked_at = [dependency for dependency in dependencies if "skip_reason" not in dependency]
        skipped = [dependency for dependency in dependencies if "skip_reason" in dependency]
        return Audited(
            packages=len(looked_at),
            weaknesses=tuple(weakness for dependency in looked_at for weakness in _weaknesses(dependency)),
            skipped=(*map(_skipped, skipped), *_passed_over(pins, dependencies)),
            left_out=tuple(_left_out(ended.complaints)),
        )
    except (ValueError, KeyError, TypeError):  # exit code 1 means findings or failure: the output tells which
        raise NotLookedAt(_why(ended.complaints)) from None


def _weaknesses(dependency: Mapping[str, Any]) -> Iterator[Weakness]:
    for found in dependency["vulns"]:
        yield Weakness(
            package=dependency["name"],
            version=dependency["version"],
            ids=tuple(map(_printable, (found["id"], *sorted(found["aliases"])))),
            fixed_in=_nearest(dependency["version"], found["fix_versions"]),
            description=_short(found["description"]),
        )


def _nearest(version: str, fixed: list[str]) -> str | None:
    """The least of the fixed versions above this one: those below it fixed branches that we are not on."""
    try:
        above = [candidate for candidate in fixed if Version(candidate) > Version(version)]
    except InvalidVersion:
        return None
    return min(above, key=Version, default=None)


def _skipped(dependency: Mapping[str, Any]) -> Skipped:
    # A requirement by URL has that for its name, and a password may stand in it.
    return Skipped(_short(dependency["name"]), _short(dependency["skip_reason"]))


def _passed_over(pins: list[Pin], dependencies: list[Mapping[str, Any]]) -> Iterator[Skipped]:
    named = {canonicalize_name(dependency["name"]) for dependency in dependencies}
    for pin in pins:
        if pin.name not in named:
            yield Skipped(pin.name, "pip-audit does not mention it")


def _left_out(complaints: str) -> Iterator[str]:
    """pip-audit leaves advisories out that it does not understand, and says so as a warning only."""
    for warning in re.findall(r"^WARNING:pip_audit\._service\.\w+:(.+)$", complaints, re.MULTILINE):
        yield f"pip-audit left an advisory out: {_short(warning)}"


def _why(complaints: str) -> str:
    if re.search(r"No module named '?pip_audit\b", complaints):
        return _NOT_INSTALLED
    if errors := re.findall(r"^ERROR:pip_audit\.\w+:(.+)$", complaints, re.MULTILINE):
        return f"pip-audit gave up: {_short(errors[0])}"
    # The last line of a traceback. Of its text only the error's name is safe to repeat.
    error = re.search(r"^(?:\w+\.)*(\w+)(?:: .*)?\Z", complaints.strip(), re.MULTILINE)
    kind = f" ({error[1]})" if error else ""
    return f"pip-audit broke off: the advisory service went away, or does not answer as OSV does{kind}"


def _short(text: str) -> str:
    line = _printable(" ".join(redact.text(str(text)).split()))
    return line if len(line) <= _MAX_TEXT_LENGTH else line[: _MAX_TEXT_LENGTH - 1] + "…"


def _printable(text: str) -> str:
    """What an advisory says is shown on terminals: it is to move no cursor, begin no line and break no encoding."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
