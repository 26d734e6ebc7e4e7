"""Which programs are chosen, and their arguments. Scripts that print both replace the programs."""

from pathlib import Path

import pytest

from calyapp.backup import client_programs
from calyapp.backup.client_programs import MaintenanceError

SCRIPT = """#!/bin/sh
test "$1" = --version && echo "pg_dump (PostgreSQL) {version}.3 (Debian)" && exit
{does}
"""
SAYS_ALL = 'echo "{version}" "$@" "PGPASSWORD=$PGPASSWORD"'


def install(folder: Path, version: int, does: str = SAYS_ALL) -> Path:
    folder.mkdir()
    program = folder / "pg_dump"
    program.write_text(SCRIPT.format(version=version, does=does.replace("{version}", str(version))))
    program.chmod(0o755)
    return folder


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """`chosen(version, does)`: sets POSTGRES_BIN to a folder with a program of this version."""

    def choose(version: int, does: str = SAYS_ALL) -> None:
        monkeypatch.setenv("POSTGRES_BIN", str(install(tmp_path / "bin", version, does)))

    return choose


class TestRun:
    def test_passes_the_password_in_the_environment(self, chosen):
        chosen(18)

        said = client_programs.run(
            "pg_dump", server=18, database_url="postgresql://caly:s%20ecret@db:5433/c?sslmode=require"
        )

        arguments, _, environment = said.partition("PGPASSWORD=")
        assert "s ecret" not in arguments
        assert environment == "s ecret\n"
        assert {"host=db", "port=5433", "user=caly", "dbname=c", "sslmode=require"} <= {
            word.removeprefix("--dbname=") for word in arguments.split()
        }

    def test_never_asks_for_a_password(self, chosen):
        chosen(18)

        assert "--no-password" in client_programs.run("pg_dump", server=18, database_url="postgresql://db/c").split()

    def test_keeps_a_password_of_the_environment(self, chosen, monkeypatch):
        chosen(18)
        monkeypatch.setenv("PGPASSWORD", "inherited")

        assert client_programs.run("pg_dump", server=18, database_url="postgresql://db/c").endswith("=inherited\n")

    def test_refuses_a_secret_that_it_cannot_hide(self, chosen):
        chosen(18)

        with pytest.raises(MaintenanceError, match="sslpassword"):
            client_programs.run("pg_dump", server=18, database_url="postgresql://db/c?sslpassword=secret")

    def test_gives_the_audit_log_only_program_and_exit_code(self, chosen):
        chosen(18, "echo 'pg_dump: error: no such host db' >&2; echo 'CONTEXT: +919876543210' >&2; exit 3")

        with pytest.raises(MaintenanceError) as raised:
            client_programs.run("pg_dump", server=18)

        assert raised.value.reason == "pg_dump failed with exit code 3"
        assert str(raised.value) == "pg_dump failed with exit code 3: no such host db"

    def test_reports_why_the_program_could_not_start(self, chosen):
        chosen(18, "echo 'setpriv: setting capabilities failed' >&2; exit 127")

        with pytest.raises(MaintenanceError, match="exit code 127: setpriv: setting capabilities failed"):
            client_programs.run("pg_dump", server=18)

    def test_names_the_signal_that_ended_the_program(self, chosen):
        chosen(18, "kill -9 $$")

        with pytest.raises(MaintenanceError, match=r"^pg_dump was ended by signal 9$"):
            client_programs.run("pg_dump", server=18)

    def test_writes_content_while_the_program_prints(self, chosen):
        chosen(18, "exec tee /dev/stderr")
        chunk = b"x" * 999_999 + b"\n"

        said = client_programs.run("pg_dump", server=18, content=(chunk for _ in range(20)))

        assert len(said) == 20_000_000

    def test_kills_a_program_if_its_input_fails(self, chosen, tmp_path):
        chosen(18, f"cat; touch {tmp_path}/took-it-for-the-whole")

        def content():
            yield b"half"
            raise ConnectionError

        with pytest.raises(ConnectionError):
            client_programs.run("pg_dump", server=18, content=content())
        assert not (tmp_path / "took-it-for-the-whole").exists()

    def test_accepts_a_program_that_does_not_read_all_of_its_input(self, chosen):
        chosen(18, "echo well")

        assert client_programs.run("pg_dump", server=18, content=(b"x" * 1_000_000 for _ in range(9))) == "well\n"


class TestChoice:
    @pytest.fixture
    def both(self, monkeypatch, tmp_path):
        """Version 17 in the wheel, version 16 in PATH."""
        wheel = install(tmp_path / "wheel", 17)
        monkeypatch.delenv("POSTGRES_BIN", raising=False)
        monkeypatch.setattr(client_programs, "wheel", lambda: wheel)
        monkeypatch.setenv("PATH", f"{install(tmp_path / 'path', 16)}:/usr/bin:/bin")

    @pytest.mark.parametrize(("server", "program"), [(15, "16"), (16, "16"), (17, "17")])
    def test_is_the_oldest_program_that_supports_the_server(self, both, server, program):
        assert client_programs.run("pg_dump", server=server).split()[0] == program

    def test_fails_if_all_programs_are_older_than_the_server(self, both):
        with pytest.raises(
            MaintenanceError, match=r"^pg_dump here is version 16 and 17, and the server has version 18\. "
        ):
            client_programs.run("pg_dump", server=18)

    def test_fails_if_no_program_is_installed(self, both):
        with pytest.raises(MaintenanceError, match=r"^There is no pg_nothing here"):
            client_programs.run("pg_nothing", server=18)

    def test_is_the_program_that_the_environment_names(self, both, chosen):
        chosen(18)

        assert client_programs.run("pg_dump", server=15).split()[0] == "18"


class TestServerVersion:
    def test_is_the_major_version(self, services):
        with services.database.records.connection() as connection:
            assert 15 <= client_programs.server_version(connection) < 30
