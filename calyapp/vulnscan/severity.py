"""Reads the severity in a record of the OSV format: a word, or a CVSS vector. Pure.

Supports CVSS 3.0 and 3.1. The score of version 4 needs a table of 270 cases; publishers add a word to it, which counts
here. Without either the severity is UNKNOWN, which is never treated as harmless.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Severities in ascending order. UNKNOWN is above MEDIUM, because it can turn out to be worse."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    UNKNOWN = "UNKNOWN"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


_ASCENDING = list(Severity)
_WORDS = {"LOW": Severity.LOW, "MODERATE": Severity.MEDIUM, "MEDIUM": Severity.MEDIUM} | {
    word: Severity(word) for word in ("HIGH", "CRITICAL")
}


def worst(severities: Iterator[Severity]) -> Severity:
    """Returns the worst of the known severities, or UNKNOWN if all are unknown."""
    known = [severity for severity in severities if severity is not Severity.UNKNOWN]
    return max(known, key=_ASCENDING.index, default=Severity.UNKNOWN)


def urgency(severity: Severity) -> int:
    """Returns a sort key: the worst severity first."""
    return -_ASCENDING.index(severity)


def of_record(record: Mapping[str, Any]) -> Severity:
    """Returns the worst severity in the record. Ignores what does not have the OSV format."""
    return worst(_severities(record))


def _severities(record: Mapping[str, Any]) -> Iterator[Severity]:
    for part in (record, *_mappings(record.get("affected"))):
        for key in ("database_specific", "ecosystem_specific"):
            for publisher in _mappings([part.get(key)]):
                yield _WORDS.get(str(publisher.get("severity")).upper(), Severity.UNKNOWN)
        for scored in _mappings(part.get("severity")):
            yield _of_vector(str(scored.get("score")))


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _of_vector(vector: str) -> Severity:
    try:
        score = base_score(vector)
    except ValueError:
        return Severity.UNKNOWN
    bounds = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))
    return next((severity for min_score, severity in bounds if score >= min_score), Severity.LOW)


_IMPACTS = {"H": 0.56, "L": 0.22, "N": 0.0}
_WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": _IMPACTS,
    "I": _IMPACTS,
    "A": _IMPACTS,
}
_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


def base_score(vector: str) -> float:
    """Returns the base score of a CVSS 3.0 or 3.1 vector, 0.0 to 10.0: section 7.1 of the CVSS 3.1 specification.

    Raises `ValueError` for anything else, including version 4.
    """
    if not re.fullmatch(r"CVSS:3\.[01](?:/[A-Z]{1,3}:[A-Z])+", vector):
        raise ValueError("not a CVSS 3 vector")
    metrics = dict(part.split(":") for part in vector.split("/")[1:])
    try:
        weight = {name: values[metrics[name]] for name, values in _WEIGHTS.items()}
        privileges = _PRIVILEGES[metrics["S"]][metrics["PR"]]
    except KeyError as missing:
        raise ValueError(f"the vector lacks a metric, or has an unknown value: {missing}") from None
    changed = metrics["S"] == "C"
    loss = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (loss - 0.029) - 3.25 * (loss - 0.02) ** 15 if changed else 6.42 * loss
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * privileges * weight["UI"]
    return _rounded_up(min((1.08 if changed else 1.0) * (impact + exploitability), 10.0))


def _rounded_up(score: float) -> float:
    """Rounds up to one decimal, in integers as appendix A says: 4.0 must not become 4.1 by a binary rounding error."""
    hundred_thousandths = round(score * 100_000)
    return -(-hundred_thousandths // 10_000) / 10
