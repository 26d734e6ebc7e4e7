"""Which file is the journal, after a crash at each step and after operators moved files."""

import fcntl
import os
from pathlib import Path

import pytest

from calyapp.spool import files
from calyapp.spool.files import RESERVE_BYTES, Folder


def write_journal(text: str, folder: Folder) -> None:
    def make(path: Path) -> int:
        path.write_text(text)
        return 0

    folder.replace(make)


class TestCurrentFile:
    def test_is_none_in_an_empty_folder(self, tmp_path: Path) -> None:
        assert Folder(tmp_path).current_file() is None

    def test_is_a_backup_that_replaced_the_link(self, tmp_path: Path) -> None:
        (tmp_path / "journal.db").write_text("backup")
        (tmp_path / "journal.db-wal").write_text("its wal")

        current = Folder(tmp_path).current_file()

        assert current is not None
        assert (current.read_text(), Path(f"{current}-wal").read_text()) == ("backup", "its wal")

    def test_is_the_newest_file_if_the_link_is_missing(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        write_journal("kept", folder)
        (tmp_path / "journal.db").unlink()

        current = folder.current_file()

        assert current is not None
        assert current.read_text() == "kept"

    def test_sets_aside_files_that_a_crash_left(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        write_journal("kept", folder)
        (tmp_path / "journal-20200101T000000.000000000Z.db").write_text("old")

        current = folder.current_file()

        assert current is not None
        assert (current.read_text(), folder.damaged_files()) == ("kept", 1)


class TestReplace:
    def test_sets_the_old_file_aside_with_its_wal(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        write_journal("old", folder)
        Path(f"{folder.current_file()}-wal").write_text("old wal")

        write_journal("new", folder)

        assert sorted(file.read_text() for file in tmp_path.glob("damaged-*")) == ["old", "old wal"]
        assert (tmp_path / "journal.db").read_text() == "new"

    def test_changes_nothing_if_the_new_file_cannot_be_written(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        write_journal("old", folder)

        def fail(path: Path) -> int:
            path.write_text("half")
            raise OSError

        with pytest.raises(OSError):  # noqa: PT011 — raised above
            folder.replace(fail)

        assert (tmp_path / "journal.db").read_text() == "old"
        assert folder.damaged_files() == 0


class TestReserve:
    def test_uses_its_bytes_until_it_is_released(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        folder.make_reserve()
        assert folder.bytes() == RESERVE_BYTES

        assert folder.release_reserve()
        assert not folder.release_reserve()
        assert folder.bytes() == 0


class TestExclusive:
    def test_times_out_while_another_process_holds_the_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "LOCK_TIMEOUT_SECONDS", 0.05)
        other = os.open(tmp_path / "journal.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(TimeoutError, match="another process"), Folder(tmp_path).exclusive():
            pytest.fail("the lock was not exclusive")
        os.close(other)

        with Folder(tmp_path).exclusive():
            pass

    def test_times_out_while_another_thread_holds_the_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "LOCK_TIMEOUT_SECONDS", 0.05)
        folder = Folder(tmp_path)

        with folder.exclusive(), pytest.raises(TimeoutError, match="another thread"), folder.exclusive():
            pytest.fail("the lock was not exclusive")
