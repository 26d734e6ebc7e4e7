import importlib.util
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from calyapp.embedded.postgres_programs import EmbeddedUnavailable, Programs, binaries


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    with (tmp_path / "lock").open("w") as lock:
        yield Programs(binaries(), lock.fileno())


class TestBinaries:
    def test_are_in_the_folder_that_the_environment_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here = binaries()
        monkeypatch.setenv("POSTGRES_BIN", f"{here}/../{here.name}")

        assert binaries() == here / ".." / here.name

    def test_refuse_a_folder_without_the_programs(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("POSTGRES_BIN", str(tmp_path))

        with pytest.raises(EmbeddedUnavailable, match=f"{tmp_path} has no executable initdb or postgres or pg_isready"):
            binaries()

    def test_report_what_to_install_if_the_wheel_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("POSTGRES_BIN", raising=False)
        monkeypatch.setattr(importlib.util, "find_spec", no_package)

        with pytest.raises(EmbeddedUnavailable, match=r"Install requirements-embedded\.txt.*POSTGRES_BIN"):
            binaries()


def no_package(_name: str) -> ModuleSpec | None:
    return None


class TestPrograms:
    def test_report_their_major_version(self, programs: Programs) -> None:
        assert programs.major_version() in {"15", "16", "17", "18"}

    def test_report_their_errors_unchanged(self, programs: Programs) -> None:
        with pytest.raises(EmbeddedUnavailable, match=r"initdb failed: .*unrecognized option '--nonsense'"):
            programs.run("initdb", "--nonsense")
