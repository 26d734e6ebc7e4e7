"""Reads requirements.txt as `make requirements` writes it: names, exact versions, hashes. Skips other lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """A package in one exact version, and the SHA-256 of each file that may be installed for it."""

    name: str
    version: str
    hashes: tuple[str, ...]


def pins(file: Path) -> list[Pin]:
    """Returns the pins that apply to this Python and machine. Raises `OSError`."""
    lines = file.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ").splitlines()
    return [pin for line in lines for pin in _pin(line)]


def _pin(line: str) -> Iterator[Pin]:
    text = re.split(r"\s#|\s--|^#", line, maxsplit=1)[0].strip()
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return
    exact = re.fullmatch(r"==([^=*,]+)", str(requirement.specifier))
    if exact and (requirement.marker is None or requirement.marker.evaluate()):
        yield Pin(canonicalize_name(requirement.name), exact[1], tuple(_HASH.findall(line)))
