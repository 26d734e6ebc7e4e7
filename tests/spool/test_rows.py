"""What the checksum of a frame covers, and the content of an empty file."""

from pathlib import Path

import pytest

from calyapp.spool import rows
from calyapp.spool.rows import FrameRow

ROW = FrameRow(5, "away", "client", 1000, rows.checksum(5, "away", "client", 1000, b"content"), 0, None, b"content")


class TestRow:
    def test_stays_intact_when_its_state_changes(self) -> None:
        assert ROW.is_intact
        assert ROW._replace(reason="refused", not_before=7.5).is_intact

    @pytest.mark.parametrize(
        "change",
        [{"id": 6}, {"lane": "deferred"}, {"client": "other"}, {"arrived_at": 1}, {"content": b""}, {"checksum": b""}],
    )
    def test_is_not_intact_after_any_constant_value_changed(self, change: dict[str, object]) -> None:
        assert not ROW._replace(**change).is_intact  # type: ignore[arg-type]


class TestCreate:
    def test_writes_the_same_first_page_each_time(self, tmp_path: Path) -> None:
        for name, start in (("one", 1), ("two", 2**50)):
            rows.create(tmp_path / name, start)

        first, second = ((tmp_path / name).read_bytes()[: rows.PAGE_BYTES] for name in ("one", "two"))
        assert first == second

    def test_assigns_ids_after_the_start(self, tmp_path: Path) -> None:
        rows.create(tmp_path / "file", 41)

        db = rows.connect(tmp_path / "file")

        assert rows.last_id(db) == 41
        db.close()
