"""The journal as its users see it: what it takes, offers, puts aside and refuses."""

import os
import stat
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from spooling import ARRIVED, CLIENTS, LEAST, append, contents, drain, fill

from calyapp.spool import journal as module
from calyapp.spool.journal import Journal, Lane, SpoolError

ROOT = Path(__file__).parents[2]


class AgainstAModel(RuleBasedStateMachine):
    """Lists in memory do the same; the journal is closed and opened again at any time."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(os.environ["MODEL_FOLDER"]) / os.urandom(8).hex()
        self.journal = Journal(self.folder, LEAST)
        self.waiting: dict[tuple[Lane, UUID | None], list[bytes]] = {}
        self.quarantined: list[bytes] = []
        self.counts = {"replayed": 0, "quarantined": 0}
        self.number = 0

    @rule(lane=st.sampled_from(Lane), client=st.sampled_from(CLIENTS), size=st.sampled_from([0, 10, 9000]))
    def append(self, lane: Lane, client: UUID | None, size: int) -> None:
        self.number += 1
        content = b"%d " % self.number + b"x" * size
        append(self.journal, content, client, lane)
        self.waiting.setdefault((lane, client), []).append(content)

    @rule(lane=st.sampled_from(Lane), each=st.integers(0, 4))
    def list_waiting(self, lane: Lane, each: int) -> None:
        expected = [content for (of, _), queue in self.waiting.items() if of == lane for content in queue[:each]]
        assert sorted(frame.content for frame in self.journal.ready(lane, each)) == sorted(expected)

    @rule(data=st.data(), lane=st.sampled_from(Lane), quarantine=st.booleans())
    def take_some(self, data: st.DataObject, lane: Lane, quarantine: bool) -> None:
        offered = self.journal.ready(lane, 3)
        frames = data.draw(st.lists(st.sampled_from(offered), unique_by=lambda frame: frame.id)) if offered else []
        if quarantine:
            for frame in frames:
                self.journal.quarantine(frame.id, "refused")
            self.quarantined += [frame.content for frame in frames]
        else:
            self.journal.remove_replayed([frame.id for frame in frames])
        self.counts["quarantined" if quarantine else "replayed"] += len(frames)
        for frame in frames:
            next(queue for queue in self.waiting.values() if frame.content in queue).remove(frame.content)

    @precondition(lambda self: self.quarantined)
    @rule()
    def drop(self) -> None:
        first = self.journal.quarantined()[0]
        assert self.journal.drop(first.id)
        assert not self.journal.drop(first.id)
        self.quarantined.remove(first.content)

    @rule()
    def settle(self) -> None:
        self.journal.settle(self.journal.counts(), note="reported")
        self.counts = dict.fromkeys(self.counts, 0)

    @rule()
    def open_again(self) -> None:
        self.journal.close()
        self.journal = Journal(self.folder, LEAST)

    def teardown(self) -> None:
        status = self.journal.status()
        assert status.depth == sum(map(len, self.waiting.values()))
        assert sorted(frame.content for frame in self.journal.quarantined()) == sorted(self.quarantined)
        assert self.journal.counts() == self.counts
        self.journal.close()


class TestJournal:
    def test_does_what_a_model_in_memory_does(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_FOLDER", str(tmp_path))
        settings = hypothesis.settings(max_examples=25, stateful_step_count=25, deadline=None)
        run_state_machine_as_test(AgainstAModel, settings=settings)  # type: ignore[no-untyped-call]

    def test_opens_nothing_before_it_is_used(self, tmp_path: Path) -> None:
        Journal(tmp_path / "spool", LEAST)

        assert list(tmp_path.iterdir()) == []

    def test_is_for_its_owner_only(self, journal: Journal, tmp_path: Path) -> None:
        append(journal, b"secret")

        folder = tmp_path / "spool"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
        assert len(modes) >= 5
        assert set(modes.values()) == {0o600}, modes

    def test_refuses_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "spool").write_text("")
        journal = Journal(tmp_path / "spool", LEAST)

        with pytest.raises(SpoolError):
            append(journal, b"x")
        assert not journal.has_room()


class TestWaiting:
    def test_gives_clients_in_turn_each_the_oldest_first(self, journal: Journal) -> None:
        for client, number in [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (1, 6)]:
            append(journal, b"%d" % number, CLIENTS[client])

        assert [frame.content for frame in journal.ready(Lane.AWAY, 2)] == [b"1", b"4", b"5", b"2", b"6"]

    def test_gives_no_more_than_fits_into_memory_and_the_rest_next(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path, 8 * LEAST)
        for number in range(40):
            append(journal, b"%d" % number + b"x" * 1_000_000, CLIENTS[number % 3])

        offered = journal.ready(Lane.AWAY, 32)

        assert sum(len(frame.content) for frame in offered) < 6_000_000
        assert drain(journal) == 40

    def test_tells_whether_there_are_any(self, journal: Journal) -> None:
        assert not journal.has_ready()
        append(journal, b"x", lane=Lane.DEFERRED)
        assert journal.has_ready()

        journal.quarantine(journal.ready(Lane.DEFERRED, 1)[0].id, "refused")

        assert not journal.has_ready()

    def test_keeps_the_lanes_apart(self, journal: Journal) -> None:
        append(journal, b"away")
        append(journal, b"deferred", lane=Lane.DEFERRED)

        assert (contents(journal), contents(journal, Lane.DEFERRED)) == ([b"away"], [b"deferred"])

    def test_passes_over_what_is_postponed_until_its_time(self, tmp_path: Path) -> None:
        now = [1000.0]
        journal = Journal(tmp_path, LEAST, clock=lambda: now[0])
        append(journal, b"x")
        (frame,) = journal.ready(Lane.AWAY, 1)

        journal.postpone(frame.id, 10)

        assert (contents(journal), journal.status().depth) == ([], 1)
        now[0] = 1010
        assert contents(journal) == [b"x"]

    def test_does_not_wait_for_a_time_that_a_clock_set_which_ran_ahead(self, tmp_path: Path) -> None:
        now = [4e9]
        journal = Journal(tmp_path, LEAST, clock=lambda: now[0])
        append(journal, b"x")
        (frame,) = journal.ready(Lane.AWAY, 1)
        journal.postpone(frame.id, 10)

        now[0] = 2e9

        assert contents(journal) == [b"x"]

    def test_puts_a_frame_that_changed_on_disk_into_quarantine(self, journal: Journal, tmp_path: Path) -> None:
        append(journal, b"right")
        append(journal, b"other")
        journal.close()
        file = tmp_path / "spool" / "journal.db"
        file.write_bytes(file.read_bytes().replace(b"right", b"wrong"))

        assert contents(journal) == [b"other"]
        (found,) = journal.quarantined()
        assert (found.content, "checksum" in found.reason) == (b"wrong", True)


class TestQuarantine:
    def test_keeps_all_that_is_known_of_a_frame(self, journal: Journal) -> None:
        journal.append(b"x", client_id=CLIENTS[1], lane=Lane.AWAY, arrived_at=ARRIVED, reason="no such client")

        (found,) = journal.quarantined()
        assert found == module.QuarantinedFrame(found.id, CLIENTS[1], ARRIVED, "no such client", b"x")
        assert (contents(journal), journal.counts()["quarantined"]) == ([], 1)

    def test_offers_a_frame_again_on_retry(self, journal: Journal) -> None:
        journal.append(b"x", client_id=None, lane=Lane.AWAY, arrived_at=ARRIVED, reason="refused")
        (found,) = journal.quarantined()

        assert journal.retry(found.id)
        assert not journal.retry(found.id)
        assert not journal.drop(found.id)
        assert (contents(journal), journal.quarantined()) == ([b"x"], [])


class TestRemember:
    def test_keeps_the_first_text_until_it_is_forgotten(self, journal: Journal) -> None:
        journal.remember("since", "noon")
        journal.remember("since", "one")
        journal.close()
        assert journal.recall("since") == "noon"

        journal.forget("since")

        assert journal.recall("since") is None


class TestStatus:
    def test_counts_what_waits_and_since_when(self, journal: Journal) -> None:
        append(journal, b"x", lane=Lane.DEFERRED)
        append(journal, b"x")
        journal.append(b"x", client_id=None, lane=Lane.AWAY, arrived_at=ARRIVED, reason="refused")

        status = journal.status()

        assert (status.depth, status.deferred, status.quarantined) == (2, 1, 1)
        assert (status.oldest_at, status.damaged_files) == ({Lane.AWAY: ARRIVED, Lane.DEFERRED: ARRIVED}, 0)

    def test_tells_the_age_of_the_oldest_by_lane(self, journal: Journal) -> None:
        now = ARRIVED + timedelta(seconds=90)
        journal.append(b"x", client_id=None, lane=Lane.AWAY, arrived_at=ARRIVED + timedelta(seconds=60))
        assert journal.status().oldest_seconds(now, Lane.DEFERRED) == 0

        journal.append(b"x", client_id=None, lane=Lane.DEFERRED, arrived_at=ARRIVED)

        status = journal.status()
        assert [status.oldest_seconds(now, lane) for lane in Lane] == [30, 90]
        assert status.oldest_seconds(now) == 90


class TestCapacity:
    def test_stays_within_its_bytes_and_drains_when_full(self, journal: Journal) -> None:
        taken = fill(journal)

        assert taken > 100
        assert not journal.has_room()
        assert journal.status().bytes <= LEAST
        journal.quarantine(journal.ready(Lane.AWAY, 1)[0].id, "refused " * 100)
        assert drain(journal) == taken - 1
        assert journal.status().bytes <= LEAST
        assert journal.has_room()

    def test_of_one_clients_flood_is_half(self, journal: Journal) -> None:
        deferred = fill(journal, Lane.DEFERRED)

        away = fill(journal, Lane.AWAY)

        assert deferred > 50
        assert away >= deferred * 0.8

    def test_of_strangers_is_half(self, journal: Journal) -> None:
        strangers = fill(journal, client=None)

        clients = fill(journal)

        assert strangers > 50
        assert clients >= strangers * 0.8

    def test_of_quarantine_is_half(self, journal: Journal) -> None:
        known = {"client_id": UUID(int=1), "lane": Lane.AWAY, "arrived_at": ARRIVED}
        with suppress(SpoolError):
            for _ in range(1_000):
                journal.append(b"x" * 50_000, **known, reason="SQLSTATE 22001")

        assert fill(journal) > 50

    def test_refuses_a_frame_larger_than_any_transaction_may_be(self, journal: Journal) -> None:
        with pytest.raises(SpoolError):
            append(journal, b"x" * (module.MAX_FRAME_BYTES + 1))
