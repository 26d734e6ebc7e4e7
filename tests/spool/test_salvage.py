"""Damage of every kind: a file that is cut off, overwritten or emptied, and what comes back from it."""

import logging
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest

from calyapp.spool.journal import Journal, Lane
from calyapp.spool.rows import PAGE

CLIENT = UUID(int=7)
ARRIVED = datetime(2025, 3, 1, 12, tzinfo=UTC)


def content(number: int) -> bytes:
    return b"frame %d " % number + b"." * 500


def appended(folder: Path, frames: int) -> Journal:
    journal = Journal(folder, 16 << 20)
    for number in range(frames):
        journal.append(content(number), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)
    journal.close()
    return journal


def numbers(journal: Journal) -> list[int]:
    return [int(frame.content.split()[1]) for frame in journal.ready(Lane.AWAY, 10**6)]


def frames_on(page: bytes) -> set[int]:
    """The frames that have any of their bytes on this page."""
    return {int(piece.split()[0]) for piece in page.split(b"frame ")[1:]}


def criticals(caplog: pytest.LogCaptureFixture) -> int:
    return len([record for record in caplog.records if record.levelno == logging.CRITICAL])


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where the machine has a place for it: thousands of files are synced there."""
    place = Path("/dev/shm")  # noqa: S108 - in a folder of its own there
    with TemporaryDirectory(prefix="caly-", dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


class TestRebuild:
    def test_brings_back_every_intact_page_wherever_the_last_one_is_cut(
        self, memory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        appended(memory / "whole", 40)
        whole = (memory / "whole" / "journal.db").read_bytes()
        lost = frames_on(whole[-PAGE:])
        assert lost, "the last page must hold frames"
        assert len(whole) > 5 * PAGE

        for cut in range(1, PAGE + 1):
            caplog.clear()
            folder = memory / "cut"
            folder.mkdir()
            (folder / "journal.db").write_bytes(whole[:-cut])
            journal = Journal(folder, 16 << 20)

            back = numbers(journal)

            assert set(range(40)) - set(back) <= lost, cut
            assert back == sorted(set(back)), cut
            assert journal.status().damaged_files == criticals(caplog) == 1, cut
            journal.close()
            shutil.rmtree(folder)

    @pytest.mark.parametrize("first", [*range(25)])
    def test_passes_over_pages_of_garbage(self, tmp_path: Path, first: int, caplog: pytest.LogCaptureFixture) -> None:
        journal = appended(tmp_path, 300)
        file = tmp_path / "journal.db"
        whole = file.read_bytes()
        file.write_bytes(whole[: first * PAGE] + os.urandom(PAGE) + whole[(first + 1) * PAGE :])

        first_time = numbers(journal)
        journal.append(content(300), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)
        back = numbers(journal)

        if first != frames_root(whole):
            assert set(range(300)) - set(back) <= frames_on(whole[first * PAGE :][:PAGE])
        assert set(back) - set(first_time) == {300}

    def test_brings_back_both_sides_of_a_gap_of_millions_of_ids(self, tmp_path: Path) -> None:
        journal = appended(tmp_path, 100)
        frames = journal.ready(Lane.AWAY, 100)
        journal.remove_replayed([frame.id for frame in frames[10:90]])
        journal.close()
        file = tmp_path / "journal.db"
        file.write_bytes(b"no database" + file.read_bytes()[11:])

        assert numbers(journal) == [*range(10), *range(90, 100)]

    def test_of_an_emptied_file_starts_anew_and_keeps_the_old_one(self, tmp_path: Path) -> None:
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
        journal.remember("since", "noon")
        before = journal.quarantined()
        journal.close()
        file = tmp_path / "journal.db"
        file.write_bytes(os.urandom(PAGE) + file.read_bytes()[PAGE:])

        back = journal.ready(Lane.AWAY, 20)

        assert [frame.id for frame in back] == ids[4:]
        assert journal.quarantined() == before
        assert journal.counts() == {"replayed": 2, "quarantined": 1}
        assert journal.recall("since") == "noon"
        assert (journal.status().depth, journal.status().damaged_files, criticals(caplog)) == (17, 1, 1)

    def test_reads_what_only_the_wal_has(self, tmp_path: Path) -> None:
        journal = appended(tmp_path, 5)
        numbers(journal)  # holds the file open, so that the -wal stays
        journal.append(content(5), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)
        copied = tmp_path / "copied"
        copied.mkdir()
        file = (tmp_path / "journal.db").resolve()
        (copied / "journal.db").write_bytes(b"")
        (copied / "journal.db-wal").write_bytes(Path(f"{file}-wal").read_bytes())
        journal.close()

        back = numbers(Journal(copied, 16 << 20))

        assert 5 in back

    def test_never_gives_an_id_twice_though_nothing_can_be_read(self, tmp_path: Path) -> None:
        journal = appended(tmp_path, 3)
        ids = [frame.id for frame in journal.ready(Lane.AWAY, 3)]
        journal.close()
        (tmp_path / "journal.db").write_bytes(b"")

        journal.append(content(3), client_id=CLIENT, lane=Lane.AWAY, arrived_at=ARRIVED)

        assert min(frame.id for frame in journal.ready(Lane.AWAY, 3)) > max(ids)


def frames_root(whole: bytes) -> int:
    return 1  # the first table of the schema is rooted on the second page
