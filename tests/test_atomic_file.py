import stat
from multiprocessing import get_context

import pytest

from calyapp import atomic_file


def _write_often(path, content):
    for _ in range(20):
        atomic_file.write(path, content, 0o600)


class TestWrite:
    def test_replaces_the_content(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"the old content")

        atomic_file.write(path, b"new", 0o600)

        assert path.read_bytes() == b"new"
        assert [file.name for file in tmp_path.iterdir()] == ["file"]

    @pytest.mark.parametrize("mode", [0o600, 0o640])
    def test_sets_the_permissions(self, tmp_path, mode):
        atomic_file.write(tmp_path / "file", b"", mode)

        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode

    def test_leaves_no_temporary_file_after_a_failure(self, tmp_path):
        (tmp_path / "file").mkdir()

        with pytest.raises(OSError, match="directory"):
            atomic_file.write(tmp_path / "file", b"new", 0o600)

        assert [file.name for file in tmp_path.iterdir()] == ["file"]

    def test_never_mixes_the_content_of_several_processes(self, tmp_path):
        contents = [letter * 100_000 for letter in (b"a", b"b", b"c")]
        processes = [
            get_context("spawn").Process(target=_write_often, args=(tmp_path / "file", content)) for content in contents
        ]
        for process in processes:
            process.start()
        seen = set()
        while any(process.is_alive() for process in processes):
            if (tmp_path / "file").exists():
                seen.add((tmp_path / "file").read_bytes())
        for process in processes:
            process.join()

        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert seen <= set(contents)
        assert [file.name for file in tmp_path.iterdir()] == ["file"]
