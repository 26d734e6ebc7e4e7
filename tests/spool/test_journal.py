"""The journal as its users see it: what it accepts, returns, quarantines and refuses."""

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
from spooling import ARRIVED, CLIENTS, append, contents, drain, fill

from calyapp.spool.journal import MAX_FRAME_BYTES, MIN_BYTES, Journal, Lane, QuarantinedFrame, SpoolError


class JournalAndModel(RuleBasedStateMachine):
    """Compares the journal with lists in memory. Closes and opens the journal at any time."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(os.environ["MODEL_FOLDER"]) / os.urandom(8).hex()
        self.journal = Journal(self.folder, MIN_BYTES)
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

    @rule(lane=st.sampled_from(Lane), per_client=st.integers(0, 4))
    def list_ready(self, lane: Lane, per_client: int) -> None:
        queues = [queue for (queue_lane, _), queue in self.waiting.items() if queue_lane == lane]
        expected = [content for queue in queues for content in queue[:per_client]]
        assert sorted(frame.content for frame in self.journal.ready(lane, per_client)) == sorted(expected)

    @rule(data=st.data(), lane=st.sampled_from(Lane), quarantine=st.booleans())
    def remove_some(self, data: st.DataObject, lane: Lane, quarantine: bool) -> None:
        ready = self.journal.ready(lane, 3)
        frames = data.draw(st.lists(st.sampled_from(ready), unique_by=lambda frame: frame.id)) if ready else []
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
        self.journal.notes.settle(self.journal.notes.counts(), note="reported")
        self.counts = dict.fromkeys(self.counts, 0)

    @rule()
    def reopen(self) -> None:
        self.journal.close()
        self.journal = Journal(self.folder, MIN_BYTES)

    def teardown(self) -> None:
        status = self.journal.status()
        assert status.depth == sum(map(len, self.waiting.values()))
        assert sorted(frame.content for frame in self.journal.quarantined()) == sorted(self.quarantined)
        assert self.journal.notes.counts() == self.counts
        self.journal.close()


class TestJournal:
    def test_behaves_as_its_model_in_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_FOLDER", str(tmp_path))
        settings = hypothesis.settings(max_examples=25, stateful_step_count=25, deadline=None)
        run_state_machine_as_test(JournalAndModel, settings=settings)  # type: ignore[no-untyped-call]

    def test_creates_nothing_before_it_is_used(self, tmp_path: Path) -> None:
        Journal(tmp_path / "spool", MIN_BYTES)

        assert list(tmp_path.iterdir()) == []

    def test_is_readable_by_its_owner_only(self, journal: Journal, tmp_path: Path) -> None:
        append(journal, b"secret")

        folder = tmp_path / "spool"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
        assert len(modes) >= 5
        assert set(modes.values()) == {0o600}, modes

    def test_reports_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "spool").write_text("")
        journal = Journal(tmp_path / "spool", MIN_BYTES)

        with pytest.raises(SpoolError):
            append(journal, b"x")
        assert not journal.has_room()


class TestReady:
    def test_returns_clients_in_turn_each_oldest_first(self, journal: Journal) -> None:
        for client, number in [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (1, 6)]:
            append(journal, b"%d" % number, CLIENTS[client])

        assert [frame.content for frame in journal.ready(Lane.AWAY, 2)] == [b"1", b"4", b"5", b"2", b"6"]

    def test_returns_a_bounded_number_of_bytes_and_the_rest_later(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path, 8 * MIN_BYTES)
        for number in range(40):
            append(journal, b"%d" % number + b"x" * 1_000_000, CLIENTS[number % 3])

        ready = journal.ready(Lane.AWAY, 32)

        assert sum(len(frame.content) for frame in ready) < 6_000_000
        assert drain(journal) == 40

    def test_says_whether_there_are_any(self, journal: Journal) -> None:
        assert not journal.has_ready()
        append(journal, b"x", lane=Lane.DEFERRED)
        assert journal.has_ready()

        journal.quarantine(journal.ready(Lane.DEFERRED, 1)[0].id, "refused")

        assert not journal.has_ready()

    def test_keeps_the_lanes_apart(self, journal: Journal) -> None:
        append(journal, b"away")
        append(journal, b"deferred", lane=Lane.DEFERRED)

        assert (contents(journal), contents(journal, Lane.DEFERRED)) == ([b"away"], [b"deferred"])

    def test_leaves_out_a_postponed_frame_until_its_time(self, tmp_path: Path) -> None:
        now = [1000.0]
        journal = Journal(tmp_path, MIN_BYTES, clock=lambda: now[0])
        append(journal, b"x")
        (frame,) = journal.ready(Lane.AWAY, 1)

        journal.postpone(frame.id, 10)

        assert (contents(journal), journal.status().depth) == ([], 1)
        now[0] = 1010
        assert contents(journal) == [b"x"]

    def test_ends_a_postponement_that_a_fast_clock_made(self, tmp_path: Path) -> None:
        now = [4e9]
        journal = Journal(tmp_path, MIN_BYTES, clock=lambda: now[0])
        append(journal, b"x")
        (frame,) = journal.ready(Lane.AWAY, 1)
        journal.postpone(frame.id, 10)

        now[0] = 2e9

        assert contents(journal) == [b"x"]

    def test_quarantines_a_frame_that_changed_on_disk(self, journal: Journal, tmp_path: Path) -> None:
        append(journal, b"right")
        append(journal, b"other")
        journal.close()
        file = tmp_path / "spool" / "journal.db"
        file.write_bytes(file.read_bytes().replace(b"right", b"wrong"))

        assert contents(journal) == [b"other"]
        (frame,) = journal.quarantined()
        assert (frame.content, "checksum" in frame.reason) == (b"wrong", True)


class TestQuarantine:
    def test_keeps_every_value_of_a_frame(self, journal: Journal) -> None:
        journal.append(b"x", client_id=CLIENTS[1], lane=Lane.AWAY, arrived_at=ARRIVED, reason="no such client")

        (frame,) = journal.quarantined()
        assert frame == QuarantinedFrame(frame.id, CLIENTS[1], ARRIVED, "no such client", b"x")
        assert (contents(journal), journal.notes.counts()["quarantined"]) == ([], 1)

    def test_returns_a_frame_after_a_retry(self, journal: Journal) -> None:
        journal.append(b"x", client_id=None, lane=Lane.AWAY, arrived_at=ARRIVED, reason="refused")
        (frame,) = journal.quarantined()

        assert journal.retry(frame.id)
        assert not journal.retry(frame.id)
        assert not journal.drop(frame.id)
        assert (contents(journal), journal.quarantined()) == ([b"x"], [])


class TestStatus:
    def test_has_the_number_of_frames_and_the_oldest_arrival(self, journal: Journal) -> None:
        append(journal, b"x", lane=Lane.DEFERRED)
        append(journal, b"x")
        journal.append(b"x", client_id=None, lane=Lane.AWAY, arrived_at=ARRIVED, reason="refused")

        status = journal.status()

        assert (status.depth, status.deferred, status.quarantined) == (2, 1, 1)
        assert (status.oldest_at, status.damaged_files) == ({Lane.AWAY: ARRIVED, Lane.DEFERRED: ARRIVED}, 0)

    def test_has_the_age_of_the_oldest_frame_by_lane(self, journal: Journal) -> None:
        now = ARRIVED + timedelta(seconds=90)
        journal.append(b"x", client_id=None, lane=Lane.AWAY, arrived_at=ARRIVED + timedelta(seconds=60))
        assert journal.status().oldest_seconds(now, Lane.DEFERRED) == 0

        journal.append(b"x", client_id=None, lane=Lane.DEFERRED, arrived_at=ARRIVED)

        status = journal.status()
        assert [status.oldest_seconds(now, lane) for lane in Lane] == [30, 90]
        assert status.oldest_seconds(now) == 90


class TestCapacity:
    def test_is_not_exceeded_and_a_full_journal_drains(self, journal: Journal) -> None:
        accepted = fill(journal)

        assert accepted > 100
        assert not journal.has_room()
        assert journal.status().bytes <= MIN_BYTES
        journal.quarantine(journal.ready(Lane.AWAY, 1)[0].id, "refused " * 100)
        assert drain(journal) == accepted - 1
        assert journal.status().bytes <= MIN_BYTES
        assert journal.has_room()

    def test_for_deferred_frames_is_half(self, journal: Journal) -> None:
        deferred = fill(journal, Lane.DEFERRED)

        away = fill(journal, Lane.AWAY)

        assert deferred > 50
        assert away >= deferred * 0.8

    def test_for_frames_without_a_client_is_half(self, journal: Journal) -> None:
        without_client = fill(journal, client=None)

        with_client = fill(journal)

        assert without_client > 50
        assert with_client >= without_client * 0.8

    def test_for_quarantine_is_half(self, journal: Journal) -> None:
        fields = {"client_id": UUID(int=1), "lane": Lane.AWAY, "arrived_at": ARRIVED}
        with suppress(SpoolError):
            for _ in range(1_000):
                journal.append(b"x" * 50_000, **fields, reason="SQLSTATE 22001")

        assert fill(journal) > 50

    def test_refuses_a_frame_over_the_maximum_size(self, journal: Journal) -> None:
        with pytest.raises(SpoolError):
            append(journal, b"x" * (MAX_FRAME_BYTES + 1))
