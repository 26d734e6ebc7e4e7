"""The join of `state`, as SQL: in it `known` is the call's row, and EXCLUDED what the delivery says.

Generated from the enumerations and tables of `state`, so that ranks stand there and nowhere else.
"""

from enum import StrEnum

from calyapp.calls.state import ENDINGS, MIN_WINS, SOURCED, Evidence, Phase, Source
from calyapp.db.tables import SOURCED as TYPES

_TEXTS = frozenset(name for name in SOURCED if TYPES[name].python_type is str)


def joined_columns() -> dict[str, str]:
    """Every column of a call's row as the join of what is known with what the delivery says."""
    phase, evidence = _greater(Phase, "phase"), _greater(Evidence, "evidence")
    sourced = {name: _joined(name, name) for name in SOURCED}
    return {
        "phase": phase,
        "evidence": evidence,
        "status": _ending(f"({phase})", f"({evidence})", 0),
        "outcome": _ending(f"({phase})", f"({evidence})", 1),
        "duration_seconds": f"coalesce({sourced['talk_seconds']}, {sourced['call_seconds']})",
        **sourced,
        **{f"{name}_source": _joined(name, f"{name}_source") for name in SOURCED},
        "updated_at": "greatest(known.updated_at, EXCLUDED.updated_at)",
    }


def _rank(words: type[StrEnum], column: str) -> str:
    listed = ", ".join(f"'{word}'" for word in words)
    return f"array_position(ARRAY[{listed}], {column})"


def _greater(words: type[StrEnum], column: str) -> str:
    mine, theirs = _rank(words, f"EXCLUDED.{column}"), _rank(words, f"known.{column}")
    return f"CASE WHEN {mine} > {theirs} THEN EXCLUDED.{column} ELSE known.{column} END"


def _ending(phase: str, evidence: str, position: int) -> str:
    """Status (position 0) or outcome (1) as a function of phase and evidence."""
    endings = " ".join(f"WHEN '{word}' THEN {_literal(ending[position])}" for word, ending in ENDINGS.items())
    while_open = phase if position == 0 else "NULL"
    return f"CASE WHEN {phase} = '{Phase.OVER}' THEN CASE {evidence} {endings} END ELSE {while_open} END"


def _literal(word: StrEnum | None) -> str:
    return f"'{word}'" if word else "NULL"


def _theirs_is_better(name: str) -> str:
    mine, theirs = f"known.{name}", f"EXCLUDED.{name}"
    my_rank, their_rank = _rank(Source, f"{mine}_source"), _rank(Source, f"{theirs}_source")
    # Texts in code-point order, whatever the database's collation.
    order = ' COLLATE "C"' if name in _TEXTS else ""
    wins = f"{theirs}{order} {'<' if name in MIN_WINS else '>'} {mine}{order}"
    return (
        f"({mine} IS NULL AND {theirs} IS NOT NULL OR {their_rank} > {my_rank} OR {their_rank} = {my_rank} AND {wins})"
    )


def _joined(name: str, column: str) -> str:
    return f"CASE WHEN {_theirs_is_better(name)} THEN EXCLUDED.{column} ELSE known.{column} END"
