"""What a frame's checksum covers, and what a fresh file looks like."""

from pathlib import Path

import pytest

from calyapp.spool import rows
from calyapp.spool.rows import FrameRow

ROW = FrameRow(5, "away", "client", 1000, rows.checksum(5, "away", "client", 1000, b"content"), 0, None, b"content")


class TestRow:
    def test_is_intact_whatever_becomes_of_it(self) -> None:
        assert ROW.intact
        assert ROW._replace(reason="refused", not_before=7.5).intact

    @pytest.mark.parametrize(
        "change",
        [{"id": 6}, {"lane": "deferred"}, {"client": "other"}, {"arrived_at": 1}, {"content": b""}, {"checksum": b""}],
    )
    def test_is_not_intact_once_what_it_keeps_has_changed(self, change: dict[str, object]) -> None:
        assert not ROW._replace(**change).intact  # type: ignore[arg-type]


class TestCreate:
    def test_makes_the_same_first_page_each_time(self, tmp_path: Path) -> None:
        for name, start in (("one", 1), ("two", 2**50)):
            rows.create(tmp_path / name, start)

        first, second = ((tmp_path / name).read_bytes()[: rows.PAGE] for name in ("one", "two"))
        assert first == second

    def test_gives_ids_after_the_one_it_starts_from(self, tmp_path: Path) -> None:
        rows.create(tmp_path / "file", 41)

        db = rows.connect(tmp_path / "file")

        assert rows.last_id(db) == 41
        db.close()
