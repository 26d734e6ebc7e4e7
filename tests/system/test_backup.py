"""Tests `backup` and `restore` as a timer runs them: a restore is complete, and a failure leaves no partial backup."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sample_records
from child_processes import children, command_lines, is_alive
from running_server import ROOT, eventually
from small_disk import small_disk

SINCE = "event_type IN ('BACKUP_COMPLETED', 'DATABASE_RESTORED')"  # not in the dump: written later
ENDS = "SELECT status, metadata->>'reason' FROM audit_logs WHERE event_type IN ('BACKUP_COMPLETED', 'BACKUP_FAILED')"


@pytest.fixture
def caly(database_url, tmp_path):
    """`caly(*arguments, before=(…), url=…)` starts the command in its own process."""

    def start(*arguments: object, before: tuple = (), url: str = database_url) -> subprocess.Popen:
        environment = {
            **os.environ,
            "APP_ENV": "testing",
            "FLASK_APP": "wsgi",
            "DATABASE_URL": url,
            "SPOOL_DIR": str(tmp_path / "spool"),
        }
        command = [*before, sys.executable, "-m", "flask", "caly", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture
def done(caly):
    """`done(…)` runs the command to its end. Returns exit code, output and errors."""

    def run(*arguments: object, **options: object) -> tuple[int, str, str]:
        process = caly(*arguments, **options)
        output, errors = process.communicate(timeout=100)
        return process.returncode, output, errors

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def dumping(caly, folder, query):
    """`dumping(**options)` starts a backup whose pg_dump waits for a lock until the test ends.

    Returns the process of the command and the process id of pg_dump.
    """
    query("BEGIN")
    query("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
    started = []

    def start(**options: object) -> tuple[subprocess.Popen, int]:
        process = caly("backup", folder, **options)
        started.append(process)
        eventually(lambda: _waiting(query))
        (pg_dump,) = children(process.pid)
        return process, pg_dump

    yield start
    query("COMMIT")
    for process in started:
        process.communicate(timeout=100)


def _waiting(query) -> bool:
    ((count,),) = query(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE NOT granted AND application_name = 'pg_dump' AND datname = current_database()"
    )
    return count == 1


def dumps(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != "backup.lock"]


class TestRestoration:
    def test_restores_every_row(self, done, folder, query, postgres_to_fill):
        sample_records.fill(query, calls=500)
        before = sample_records.fingerprints(query, ignoring=SINCE)

        assert done("backup", folder)[0] == 0
        (file,) = folder.glob("*.dump")
        code, output, errors = done("restore", file, "--into", postgres_to_fill.url)

        assert (code, errors) == (0, "")
        assert "calls           500\n" in output
        after = sample_records.fingerprints(
            postgres_to_fill.query, ignoring=SINCE + " OR event_type = 'BACKUP_STARTED'"
        )
        assert after == before
        assert after["deliveries"][0] == 2000

    @pytest.fixture
    def postgres_to_fill(self, postgres):
        """An empty server without the roles of Caly."""
        postgres.query("DROP SCHEMA public CASCADE")
        postgres.query("DROP ROLE caly_reader")
        postgres.query("CREATE SCHEMA public")
        return postgres


class TestInterruption:
    def test_leaves_no_partial_file(self, dumping, folder, query):
        process, pg_dump = dumping()

        os.kill(pg_dump, signal.SIGKILL)
        _, errors = process.communicate(timeout=100)

        assert process.returncode == 1
        assert errors == "Error: pg_dump was ended by signal 9\n"
        assert dumps(folder) == []
        assert query(ENDS) == [("failure", "pg_dump was ended by signal 9")]

    @pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGINT, 130)])
    def test_by_a_termination_signal_is_in_the_audit_log(self, dumping, folder, query, sent, code):
        process, pg_dump = dumping()

        process.send_signal(sent)
        _, errors = process.communicate(timeout=100)

        assert (process.returncode, errors) == (code, f"Error: The backup was stopped ({sent.name})\n")
        eventually(lambda: not is_alive(pg_dump))
        assert dumps(folder) == []
        assert query(ENDS) == [("failure", f"The backup was stopped ({sent.name})")]

    def test_of_the_command_ends_pg_dump(self, dumping, folder, query):
        process, pg_dump = dumping()

        process.kill()
        process.communicate(timeout=100)

        eventually(lambda: not is_alive(pg_dump))
        assert [path.suffix for path in dumps(folder)] == [".partial"]

    def test_does_not_affect_the_next_backup(self, dumping, done, folder, query):
        dumping()[0].kill()
        query("COMMIT")

        assert done("backup", folder)[0] == 0

        assert sorted(path.suffix for path in dumps(folder)) == [".dump", ".sha256"]


class TestConcurrentBackup:
    def test_is_refused(self, dumping, done, folder):
        dumping()

        assert done("backup", folder) == (1, "", "Error: Another backup into this folder is running\n")


class TestPassword:
    def test_is_not_visible_in_the_process_list(self, dumping, database_url):
        dumping(url=database_url.replace("caly@", "caly:open-sesame@"))

        listed = "\n".join(command_lines())

        assert "--dbname=" in listed
        assert "open-sesame" not in listed


class TestFullDisk:
    def test_leaves_no_partial_file_and_keeps_existing_backups(self, done, folder, query):
        # The previous backup was small, so the command cannot predict the size of this one.
        query(
            "CREATE TABLE padding AS SELECT string_agg(sha256(n::text::bytea), '') FROM generate_series(1, 50000) AS n"
        )
        folder.mkdir()

        with small_disk(folder, "300k") as inside:
            subprocess.run([*inside, "touch", folder / "caly-20200101T000000.000000Z.dump"], check=True)
            code, _, errors = done("backup", folder, "--keep", 1, before=inside)
            left = subprocess.run([*inside, "ls", folder], capture_output=True, text=True, check=True).stdout

        assert (code, left) == (1, "backup.lock\ncaly-20200101T000000.000000Z.dump\n")
        assert errors.endswith("No space left on device\n")
        assert query(ENDS) == [("failure", "pg_dump failed with exit code 1")]
