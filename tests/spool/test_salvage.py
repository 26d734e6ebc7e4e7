"""Salvage from every kind of damage: files that are truncated, overwritten or emptied."""

import logging
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest

from calyapp.spool.journal import MIN_BYTES, Journal, Lane
from calyapp.spool.rows import PAGE_BYTES

CLIENT = UUID(int=7)
ARRIVED = datetime(2025, 3, 1, 12, tzinfo=UTC)
FRAMES_ROOT_PAGE = 1  # the root of the first table of the schema; without it, SQLite finds no frame by its id


def content(number: int) -> bytes:
    return b"frame %d " % number + b"." * 500


def appended(folder: Path, frames: int) -> Journal:
    journal = Journal(folder, MIN_BYTES)
    for number in range(frames):
        journal.append(content(number), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)
    journal.close()
    return journal


def numbers(journal: Journal) -> list[int]:
    return [int(frame.content.split()[1]) for frame in journal.ready(Lane.AWAY, 10**6)]


def frames_on(page: bytes) -> set[int]:
    """The numbers of the frames that have bytes on this page."""
    return {int(piece.split()[0]) for piece in page.split(b"frame ")[1:]}


def criticals(caplog: pytest.LogCaptureFixture) -> int:
    return len([record for record in caplog.records if record.levelno == logging.CRITICAL])


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory if the machine has /dev/shm, because the test syncs thousands of files."""
    place = Path("/dev/shm")  # noqa: S108 — in a folder of its own there
    with TemporaryDirectory(prefix="caly-", dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


class TestRebuild:
    def test_recovers_every_intact_page_wherever_the_file_is_truncated(
        self, memory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        appended(memory / "whole", 40)
        whole = (memory / "whole" / "journal.db").read_bytes()
        lost = frames_on(whole[-PAGE_BYTES:])
        assert lost, "the last page must hold frames"
        assert len(whole) > 5 * PAGE_BYTES

        for cut in range(1, PAGE_BYTES + 1):
            caplog.clear()
            folder = memory / "cut"
            folder.mkdir()
            (folder / "journal.db").write_bytes(whole[:-cut])
            journal = Journal(folder, MIN_BYTES)

            recovered = numbers(journal)

            assert set(range(40)) - set(recovered) <= lost, cut
            assert recovered == sorted(set(recovered)), cut
            assert journal.status().damaged_files == criticals(caplog) == 1, cut
            journal.close()
            shutil.rmtree(folder)

    @pytest.mark.parametrize("page", range(25))
    def test_skips_a_page_of_garbage(self, tmp_path: Path, page: int) -> None:
        journal = appended(tmp_path, 300)
        file = tmp_path / "journal.db"
        whole = file.read_bytes()
        file.write_bytes(whole[: page * PAGE_BYTES] + os.urandom(PAGE_BYTES) + whole[(page + 1) * PAGE_BYTES :])

        recovered = numbers(journal)
        journal.append(content(300), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)

        if page != FRAMES_ROOT_PAGE:
            assert set(range(300)) - set(recovered) <= frames_on(whole[page * PAGE_BYTES :][:PAGE_BYTES])
        assert set(numbers(journal)) - set(recovered) == {300}

    def test_recovers_both_sides_of_a_wide_gap_between_ids(self, tmp_path: Path) -> None:
        journal = appended(tmp_path, 100)
        frames = journal.ready(Lane.AWAY, 100)
        journal.remove_replayed([frame.id for frame in frames[10:90]])
        journal.close()
        file = tmp_path / "journal.db"
        file.write_bytes(b"no database" + file.read_bytes()[11:])

        assert numbers(journal) == [*range(10), *range(90, 100)]

    def test_of_an_empty_file_starts_a_new_one_and_keeps_the_old_one(self, tmp_path: Path) -> None:
        journal = appended(tmp_path, 20)
        (tmp_path / "journal.db").write_bytes(b"")

        journal.append(content(20), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)

        assert (numbers(journal), journal.status().damaged_files) == ([20], 1)

    def test_of_a_broken_header_loses_nothing(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        journal = appended(tmp_path, 20)
        ids = [frame.id for frame in journal.ready(Lane.AWAY, 20)]
        journal.quarantine(ids[0], "refused")
        journal.postpone(ids[1], 3600)
        journal.remove_replayed(ids[2:4])
        journal.notes.add("since", "noon")
        before = journal.quarantined()
        journal.close()
        file = tmp_path / "journal.db"
        file.write_bytes(os.urandom(PAGE_BYTES) + file.read_bytes()[PAGE_BYTES:])

        recovered = journal.ready(Lane.AWAY, 20)

        assert [frame.id for frame in recovered] == ids[4:]
        assert journal.quarantined() == before
        assert journal.notes.counts() == {"replayed": 2, "quarantined": 1}
        assert journal.notes.get("since") == "noon"
        assert (journal.status().depth, journal.status().damaged_files, criticals(caplog)) == (17, 1, 1)

    def test_reads_frames_that_only_the_wal_file_has(self, tmp_path: Path) -> None:
        journal = appended(tmp_path, 5)
        numbers(journal)  # keeps the file open, so that SQLite keeps the -wal file
        journal.append(content(5), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)
        copied = tmp_path / "copied"
        copied.mkdir()
        file = (tmp_path / "journal.db").resolve()
        (copied / "journal.db").write_bytes(b"")
        (copied / "journal.db-wal").write_bytes(Path(f"{file}-wal").read_bytes())
        journal.close()

        assert 5 in numbers(Journal(copied, MIN_BYTES))

    def test_assigns_no_id_twice_even_if_nothing_can_be_read(self, tmp_path: Path) -> None:
        journal = appended(tmp_path, 3)
        ids = [frame.id for frame in journal.ready(Lane.AWAY, 3)]
        journal.close()
        (tmp_path / "journal.db").write_bytes(b"")

        journal.append(content(3), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)

        assert min(frame.id for frame in journal.ready(Lane.AWAY, 3)) > max(ids)
