import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from calyapp.clients.directory_copy import DirectoryCopy
from calyapp.clients.store import Client


def client(**overrides) -> Client:
    defaults = {
        "id": uuid4(),
        "name": "Asha Clinics",
        "numbers": ("+918047112345", "+918047112346"),
        "key_version": 3,
        "oldest_key_version": 2,
        "say_text": "नमस्ते",
        "say_voice": None,
        "say_language": None,
        "disabled_at": None,
    }
    return Client(**{**defaults, **overrides})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "directory"


class TestCopy:
    def test_returns_what_was_written(self, path):
        clients = [client(), client(name="B", numbers=(), disabled_at=datetime(2026, 11, 22, 9, tzinfo=UTC))]

        DirectoryCopy(path).write(clients)

        assert DirectoryCopy(path).read() == clients

    def test_is_readable_by_its_owner_only(self, path):
        DirectoryCopy(path).write([client()])

        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_is_replaced_by_the_next_write(self, path):
        copy = DirectoryCopy(path)
        copy.write([client()])
        newer = [client()]

        copy.write(newer)

        assert DirectoryCopy(path).read() == newer
        assert [file.name for file in path.parent.iterdir()] == ["directory"]

    def test_can_be_written_by_several_threads_at_once(self, path, caplog):
        copy, start = DirectoryCopy(path), Barrier(8)

        def write(number: int) -> None:
            start.wait()
            for turn in range(20):
                copy.write([client(name=f"{number} {turn}")])

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(8)))

        assert caplog.messages == []

    def test_is_not_written_again_for_the_same_clients(self, path):
        copy, clients = DirectoryCopy(path), [client()]
        copy.write(clients)
        file = path.stat().st_ino

        copy.write(clients)

        assert path.stat().st_ino == file

    def test_gets_a_new_time_for_the_same_clients(self, path):
        copy, clients = DirectoryCopy(path), [client()]
        copy.write(clients)
        os.utime(path, (0, 0))

        copy.write(clients)

        assert path.stat().st_mtime > 0

    def test_is_written_again_if_it_was_removed(self, path):
        copy, clients = DirectoryCopy(path), [client()]
        copy.write(clients)
        path.unlink()

        copy.write(clients)
        copy.write(clients)

        assert DirectoryCopy(path).read() == clients

    def test_is_none_before_the_first_write(self, path):
        assert DirectoryCopy(path).read() is None

    def test_that_cannot_be_written_is_logged_and_not_raised(self, tmp_path, caplog):
        (tmp_path / "file").touch()

        DirectoryCopy(tmp_path / "file" / "directory").write([client()])

        assert "could not be written" in caplog.text


class TestDamage:
    @hypothesis_settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
    def test_of_any_byte_is_detected(self, path, where, flip):
        DirectoryCopy(path).write([client()])
        content = bytearray(path.read_bytes())
        content[int(where * len(content))] ^= flip
        path.write_bytes(content)

        assert DirectoryCopy(path).read() is None

    @pytest.mark.parametrize("length", [0, 1, 64, 65, 100])
    def test_by_truncation_is_detected(self, path, length):
        DirectoryCopy(path).write([client()])

        os.truncate(path, length)

        assert DirectoryCopy(path).read() is None
