"""Notes and counts beside the frames, in the same file: they outlive the process that wrote them."""

import sqlite3
from collections.abc import Mapping

from calyapp.spool.transactions import Transactions


class Notes:
    """Short texts by name, and the numbers of frames replayed and quarantined. Every method raises `SpoolError`."""

    def __init__(self, transactions: Transactions) -> None:
        self._run = transactions.run

    def add(self, name: str, text: str) -> None:
        """Adds a note, unless there is one of this name."""
        self._run(lambda db: db.execute("INSERT OR IGNORE INTO notes VALUES (?, ?)", (name, text)), frees_space=False)

    def get(self, name: str) -> str | None:
        """Returns the text of a note, or None if there is none of this name."""
        row = self._run(lambda db: db.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone())
        return None if row is None else str(row[0])

    def remove(self, name: str) -> None:
        """Removes a note, if there is one of this name."""
        self._run(lambda db: _remove(db, name))

    def counts(self) -> dict[str, int]:
        """Returns the numbers of frames `replayed` and `quarantined` that are not settled yet."""
        zeros = {"replayed": 0, "quarantined": 0}
        return self._run(lambda db: zeros | dict(db.execute("SELECT name, number FROM counts")))

    def settle(self, counts: Mapping[str, int], note: str) -> None:
        """Subtracts counts that were reported, and removes the note that announced the report.

        Both happen in one transaction: a crash in between would report the counts twice, or never.
        """

        def work(db: sqlite3.Connection) -> None:
            for name, number in counts.items():
                count(db, name, -number)
            _remove(db, note)

        self._run(work)


def count(db: sqlite3.Connection, name: str, number: int) -> None:
    """Adds a number to a count, within the transaction of the caller."""
    statement = "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = number + excluded.number"
    db.execute(statement, (name, number))


def _remove(db: sqlite3.Connection, name: str) -> None:
    db.execute("DELETE FROM notes WHERE name = ?", (name,))
