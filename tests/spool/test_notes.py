from spooling import append

from calyapp.spool.journal import Journal, Lane


class TestNotes:
    def test_keep_the_first_text_until_it_is_removed(self, journal: Journal) -> None:
        journal.notes.add("since", "noon")
        journal.notes.add("since", "one")
        journal.close()
        assert journal.notes.get("since") == "noon"

        journal.notes.remove("since")

        assert journal.notes.get("since") is None

    def test_settle_subtracts_what_was_reported_and_removes_the_note(self, journal: Journal) -> None:
        for _ in range(3):
            append(journal, b"x")
        first, second, third = [frame.id for frame in journal.ready(Lane.AWAY, 3)]
        journal.remove_replayed([first])
        reported = journal.notes.counts()
        journal.notes.add("report", "being written")
        journal.remove_replayed([second])
        journal.quarantine(third, "refused")

        journal.notes.settle(reported, note="report")

        assert journal.notes.counts() == {"replayed": 1, "quarantined": 1}
        assert journal.notes.get("report") is None
