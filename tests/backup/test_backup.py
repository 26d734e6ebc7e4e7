import fcntl
import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import sample_records
from sqlalchemy import make_url

from calyapp.backup import backup
from calyapp.backup.client_programs import MaintenanceError
from calyapp.embedded.postgres_programs import binaries


@pytest.fixture
def contents(services):
    with services.database.records.connection() as connection:
        return backup.survey(connection)


@pytest.fixture
def make(database_url, tmp_path, contents):
    """`make(keep=…, url=…, **contents)`: makes a backup in the folder `backups`."""

    def run(keep: int = 14, url: str = database_url, **known: int) -> backup.Backup:
        return backup.make(url, tmp_path / "backups", replace(contents, **known), keep=keep)

    return run


@pytest.fixture
def files(tmp_path):
    """`files()`: the sorted names in the folder, without the lock."""
    return lambda: sorted(path.name for path in (tmp_path / "backups").iterdir() if path.name != "backup.lock")


class TestSurvey:
    def test_counts_the_partitions_of_the_audit_log_as_one_table(self, contents):
        assert set(contents.rows) == {
            "alembic_version",
            "api_keys",
            "audit_counts_daily",
            "audit_counts_pending",
            "audit_logs",
            "calls",
            "client_numbers",
            "clients",
            "exotel_accounts",
            "deliveries",
            "sessions",
            "users",
        }

    def test_waits_for_no_lock(self, services, query):
        query("BEGIN")
        query("LOCK TABLE calls, audit_logs, deliveries IN ACCESS EXCLUSIVE MODE")

        with services.database.records.connection() as connection:
            assert backup.survey(connection).bytes > 0


class TestMake:
    def test_writes_a_file_and_its_checksum(self, make, files):
        made = make()

        assert files() == [made.file.name, f"{made.file.name}.sha256"]
        assert made.bytes == made.file.stat().st_size

    def test_creates_files_that_only_this_user_can_read(self, make):
        made = make()

        modes = [path.stat().st_mode & 0o777 for path in (made.file.parent, *made.file.parent.iterdir())]
        assert modes == [0o700, 0o600, 0o600, 0o600]

    def test_writes_the_checksum_in_the_format_of_sha256sum(self, make):
        file = make().file

        done = subprocess.run(["sha256sum", "--check", f"{file.name}.sha256"], cwd=file.parent, check=False)

        assert done.returncode == 0

    def test_compresses_the_content(self, make, query):
        empty = make()

        query("CREATE TABLE padding AS SELECT repeat('a', 1000000) AS a")

        assert make().bytes < empty.bytes + 100_000

    def test_keeps_the_newest_backups(self, make, files):
        made = [make(keep=2).file.name for _ in range(3)]

        assert files() == [name for kept in made[1:] for name in (kept, f"{kept}.sha256")]

    def test_returns_the_removed_backups(self, make):
        first = make()

        assert make(keep=1).removed == [first.file.name]

    def test_removes_the_files_of_a_killed_backup(self, make, files, tmp_path):
        (tmp_path / "backups").mkdir()
        for name in ("caly-20200101T000000.000000Z.dump.partial", "caly-20200102T000000.000000Z.dump.sha256"):
            (tmp_path / "backups" / name).touch()

        made = make()

        assert files() == [made.file.name, f"{made.file.name}.sha256"]


class TestFailure:
    def fails(self, make, match, **given):
        with pytest.raises(MaintenanceError, match=match):
            make(keep=1, **given)

    def test_keeps_the_existing_backups(self, make, files, monkeypatch):
        make()
        before = files()

        self.fails(make, "^pg_dump failed with exit code 1: .*connection", url="postgresql://caly@127.0.0.1:1/caly")

        assert files() == before

    def test_is_reported_if_the_file_is_truncated(self, make, files, monkeypatch, tmp_path):
        real, fake = binaries(), tmp_path / "bin"
        fake.mkdir()
        # Simulates a disk that loses the end of the file without an error.
        write(fake / "pg_dump", f'{real}/pg_dump "$@"; test "$1" = --version || truncate -s -100 "${{5#--file=}}"')
        write(fake / "pg_restore", f'exec {real}/pg_restore "$@"')
        monkeypatch.setenv("POSTGRES_BIN", str(fake))

        self.fails(make, r"^pg_restore failed with exit code 1: could not read from input file: end of file$")

        assert files() == []

    def test_is_reported_at_the_start_if_there_is_too_little_disk_space(self, make, files):
        self.fails(
            make,
            r"^There is too little disk space for a backup: \d+ MB are free, 1000000000000 MB are needed\.$",
            bytes=10**18,
        )

        assert files() == []

    def test_is_reported_if_another_backup_is_running(self, make, tmp_path):
        make()

        with (tmp_path / "backups" / "backup.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.fails(make, "^Another backup into this folder is running$")

        make()

    def test_is_reported_if_the_folder_cannot_be_created(self, make, tmp_path):
        (tmp_path / "backups").touch()

        self.fails(make, r"^The backup could not be written \(File exists\): ")

    def test_is_reported_if_rows_are_hidden(self, make, files, query, database_url):
        role = f"reader_{uuid4().hex}"
        sample_records.fill(query, calls=1)
        query(f"CREATE ROLE {role} LOGIN")
        query(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        query("ALTER TABLE calls ENABLE ROW LEVEL SECURITY")
        query("CREATE POLICY nothing ON calls USING (false)")
        try:
            self.fails(make, "row-level security", url=reached_as(role, database_url))
        finally:
            query(f"DROP OWNED BY {role}")
            query(f"DROP ROLE {role}")

        assert files() == []


def reached_as(role: str, url: str) -> str:
    return make_url(url).set(username=role).render_as_string(hide_password=False)


def write(script: Path, line: str) -> None:
    script.write_text(f"#!/bin/sh\n{line}\n")
    script.chmod(0o755)
