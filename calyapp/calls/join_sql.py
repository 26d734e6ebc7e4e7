"""The join of `state` as SQL expressions for ON CONFLICT DO UPDATE.

In them `stored` is the call's row, and EXCLUDED (PostgreSQL's name for the proposed row) is what the delivery says.

Invariant: for all views these expressions give what `CallView.join` gives. They are generated from the enumerations
and tables of `state`, so that a rank is never written twice. `tests/calls/test_store.py` compares both on real rows. If
they differ, `calls rebuild` and `caly simulate`, which join in Python, contradict what deliveries recorded.
"""

from enum import StrEnum

from calyapp.calls.state import ENDINGS, MIN_WINS, SOURCED, Evidence, Phase, Source
from calyapp.db.tables import SOURCED as TYPES

_TEXTS = frozenset(name for name in SOURCED if TYPES[name].python_type is str)


def joined_columns() -> dict[str, str]:
    """Returns the expression for each column of a call's row that a delivery may change.

    PostgreSQL evaluates all expressions of one SET on the old row. So the columns that depend on others (status,
    outcome, duration) repeat the joined expression of those instead of reading the column.
    """
    phase, evidence = _greater(Phase, "phase"), _greater(Evidence, "evidence")
    sourced = {name: _better(name, name) for name in SOURCED}
    return {
        "phase": phase,
        "evidence": evidence,
        "status": _ending(f"({phase})", f"({evidence})", 0),
        "outcome": _ending(f"({phase})", f"({evidence})", 1),
        "duration_seconds": f"coalesce({sourced['talk_seconds']}, {sourced['call_seconds']})",
        **sourced,
        **{f"{name}_source": _better(name, f"{name}_source") for name in SOURCED},
        "updated_at": "greatest(stored.updated_at, EXCLUDED.updated_at)",
    }


def _rank(enumeration: type[StrEnum], column: str) -> str:
    members = ", ".join(f"'{member}'" for member in enumeration)
    return f"array_position(ARRAY[{members}], {column})"


def _greater(enumeration: type[StrEnum], column: str) -> str:
    new_rank, stored_rank = _rank(enumeration, f"EXCLUDED.{column}"), _rank(enumeration, f"stored.{column}")
    return f"CASE WHEN {new_rank} > {stored_rank} THEN EXCLUDED.{column} ELSE stored.{column} END"


def _ending(phase: str, evidence: str, position: int) -> str:
    """Returns status (position 0) or outcome (1) as a function of phase and evidence."""
    endings = " ".join(f"WHEN '{member}' THEN {_literal(ending[position])}" for member, ending in ENDINGS.items())
    while_open = phase if position == 0 else "NULL"
    return f"CASE WHEN {phase} = '{Phase.OVER}' THEN CASE {evidence} {endings} END ELSE {while_open} END"


def _literal(member: StrEnum | None) -> str:
    return f"'{member}'" if member else "NULL"


def _is_new_better(name: str) -> str:
    """Returns the condition under which the delivery's value replaces the stored one.

    A missing value has a NULL source, and so a NULL rank: comparisons with it are NULL, which CASE treats as false. The
    first clause therefore handles a missing stored value, and a missing new value never wins.
    """
    stored, new = f"stored.{name}", f"EXCLUDED.{name}"
    stored_rank, new_rank = _rank(Source, f"{stored}_source"), _rank(Source, f"{new}_source")
    # Python compares texts by code points. The database's collation would order them differently.
    order = ' COLLATE "C"' if name in _TEXTS else ""
    wins = f"{new}{order} {'<' if name in MIN_WINS else '>'} {stored}{order}"
    return (
        f"({stored} IS NULL AND {new} IS NOT NULL OR {new_rank} > {stored_rank} "
        f"OR {new_rank} = {stored_rank} AND {wins})"
    )


def _better(name: str, column: str) -> str:
    """Returns the value or source of the better side. Both columns use the same condition, so they stay a pair."""
    return f"CASE WHEN {_is_new_better(name)} THEN EXCLUDED.{column} ELSE stored.{column} END"
