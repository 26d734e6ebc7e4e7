"""The migrations as operators run them: each in a separate process, on a separate database."""

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import make_url

from calyapp import clock
from calyapp.config import Secret
from calyapp.db import engine, migrations, partitions
from calyapp.db.migrations import MigrationError
from calyapp.db.tables import metadata
from calyapp.embedded import server
from calyapp.errors import DatabaseError

ROOT = Path(__file__).parents[2]
POLICY = re.compile("^CREATE POLICY .*?;$", re.MULTILINE | re.DOTALL)


def schema(url: str, *tables: str) -> list[str]:
    """The lines of pg_dump that create all objects, or only the objects of these tables without policies."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    chosen = ["--no-acl", *(f"--table={table}" for table in tables)] if tables else []
    pg_dump = [server.binaries() / "pg_dump", "--schema-only", "--no-owner", *chosen, f"--dbname={plain}"]
    dump = subprocess.run(pg_dump, capture_output=True, text=True, check=True).stdout
    if tables:
        dump = POLICY.sub("", dump)  # removed here, because pg_dump 15 has no --no-policies
    # Comments name the version. Commands of psql start with a backslash and contain a random word.
    return [line for line in dump.splitlines() if line and not line.startswith(("--", "\\"))]


def created(lines: list[str]) -> list[str]:
    """The lines that begin a new object."""
    return [line for line in lines if line.startswith("CREATE")]


@pytest.fixture
def scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(ROOT / "setup.cfg"))


class TestRevisions:
    def test_form_one_sequence_without_gaps(self, scripts):
        newest_first = list(scripts.walk_revisions())

        assert len(scripts.get_heads()) == 1
        numbers = [revision.revision for revision in reversed(newest_first)]
        assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]
        assert [revision.down_revision for revision in reversed(newest_first)] == [None, *numbers[:-1]]

    def test_are_in_files_named_after_their_number(self, scripts):
        files = {revision.revision: Path(revision.path).name for revision in scripts.walk_revisions()}

        assert {
            number: name for number, name in files.items() if not re.fullmatch(rf"{number}_[a-z0-9_]+\.py", name)
        } == {}
        assert sorted(files.values()) == sorted(path.name for path in Path(scripts.versions).glob("*.py"))

    def test_import_nothing_of_the_application(self):
        sources = {file.name: file.read_text() for file in (ROOT / "alembic" / "versions").glob("*.py")}

        assert [name for name, source in sources.items() if re.search(r"^\s*(from|import) calyapp", source, re.M)] == []

    def test_are_in_no_package_that_would_hide_the_library(self):
        assert list((ROOT / "alembic").rglob("__init__.py")) == []


class TestHead:
    def test_is_the_newest_revision(self, scripts):
        assert migrations.head() == scripts.as_revision_number("head")


class TestCurrent:
    def test_is_the_head_after_an_upgrade(self, services):
        with services.database.records.connection() as connection:
            assert migrations.current(connection) == migrations.head()

    def test_fails_for_a_database_that_was_never_migrated(self, settings, empty_database_url):
        database = engine.database(replace(settings, database_url=Secret(empty_database_url)))

        with pytest.raises(DatabaseError), database.records.connection() as connection:
            migrations.current(connection)

        database.close()


class TestModels:
    def test_match_the_result_of_the_migrations(self, database_url, run_alembic):
        output = run_alembic(database_url, "check")

        assert "No new upgrade operations detected" in output

    def test_match_the_migrations_in_what_alembic_does_not_compare(self, database_url, empty_database_url):
        # Includes checks, storage parameters and the partition key.
        models = sqlalchemy.create_engine(empty_database_url, poolclass=sqlalchemy.NullPool)
        metadata.create_all(models)

        migrated = [line for line in schema(database_url, *metadata.tables) if not BESIDE_MODELS.search(line)]

        assert _unordered(migrated) == _unordered(schema(empty_database_url, *metadata.tables))


# SQLAlchemy supports neither triggers nor row-level security.
BESIDE_MODELS = re.compile("^CREATE TRIGGER|ROW LEVEL SECURITY;$")


def _unordered(lines: list[str]) -> list[str]:
    """Sorts the lines, because the order of a table's columns is irrelevant."""
    return sorted(line.rstrip(",") for line in lines)


class TestUpgrade:
    def test_creates_the_partitions_of_this_month_and_three_more(self, query):
        expected = [partitions.name(month) for month in partitions.months(clock.now(), 3)]

        attached = query("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass")

        assert sorted(name for (name,) in attached) == expected

    def test_creates_missing_partitions_if_there_is_nothing_to_migrate(self, database_url, query, run_alembic):
        month = partitions.name(clock.now())
        query(f"DROP TABLE {month}")

        run_alembic(database_url, "upgrade", "head")

        assert query("SELECT to_regclass(%s)::text", month) == [(month,)]

    def test_after_a_downgrade_creates_the_same_schema(self, database_url, run_alembic):
        before = schema(database_url)

        run_alembic(database_url, "downgrade", "base")
        at_base = schema(database_url)
        run_alembic(database_url, "upgrade", "head")

        assert created(at_base) == ["CREATE TABLE public.alembic_version ("]
        assert schema(database_url) == before

    def test_waits_for_a_running_migration(self, empty_database_url, run_alembic):
        ours = sqlalchemy.create_engine(empty_database_url, isolation_level="AUTOCOMMIT")
        with ours.connect() as connection, ThreadPoolExecutor(2) as pool:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({migrations.ADVISORY_LOCK})")

            upgrades = [pool.submit(run_alembic, empty_database_url, "upgrade", "head") for _ in range(2)]
            while _waiting(connection) < 2:
                assert not any(upgrade.done() for upgrade in upgrades)
            meanwhile = created(schema(empty_database_url))
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({migrations.ADVISORY_LOCK})")
            for upgrade in upgrades:
                upgrade.result()

            revision = migrations.current(connection)
        ours.dispose()
        assert meanwhile == []
        assert revision == migrations.head()


@pytest.fixture
def lock_holder(database_url) -> Iterator[sqlalchemy.Connection]:
    """A session that holds the migration lock."""
    holder = sqlalchemy.create_engine(database_url, connect_args={"application_name": "hung migration"})
    with holder.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({migrations.ADVISORY_LOCK})")
        yield connection
    holder.dispose()


class TestTakeLock:
    def test_gives_up_and_says_which_session_holds_it(self, lock_holder, services):
        reports = []
        pid = lock_holder.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

        with services.database.records.connection() as connection, pytest.raises(MigrationError) as refusal:
            migrations.take_lock(connection, reports.append, max_wait_seconds=0.5)

        holder = rf'process {pid}, application "hung migration", user caly, on a local socket, connected since \d{{4}}-'
        assert re.search(holder, str(refusal.value))
        assert f"pg_terminate_backend({pid})" in str(refusal.value)
        assert len(reports) == 1
        assert re.search(holder, reports[0])

    def test_names_the_session_of_another_user_too(self, lock_holder, database_url, query):
        query("CREATE ROLE migrator LOGIN")
        other = sqlalchemy.create_engine(make_url(database_url).set(username="migrator"), poolclass=sqlalchemy.NullPool)
        hidden = 'application "hung migration", user caly, address and start hidden from us'

        with other.connect() as connection, pytest.raises(MigrationError, match=hidden):
            migrations.take_lock(connection, lambda _: None, max_wait_seconds=0.5)

        query("DROP ROLE migrator")

    def test_gives_up_if_the_session_of_the_holder_is_not_shown(self, lock_holder, services, monkeypatch):
        monkeypatch.setattr(migrations, "_HOLDER", sqlalchemy.text("SELECT WHERE false"))

        with services.database.records.connection() as connection, pytest.raises(MigrationError, match="Gave up after"):
            migrations.take_lock(connection, pytest.fail, max_wait_seconds=0.5)

    def test_waits_outside_a_transaction(self, lock_holder, services):
        # In a transaction, it could hold the snapshot that CREATE INDEX CONCURRENTLY in the other migration waits for.
        waiting = "SELECT state FROM pg_stat_activity WHERE query = 'COMMIT' AND datname = current_database()"
        states = []

        def look(_report: str) -> None:
            states.extend(lock_holder.exec_driver_sql(waiting).scalars())

        with services.database.records.connection() as connection, pytest.raises(MigrationError):
            migrations.take_lock(connection, look, max_wait_seconds=0.5)

        assert states == ["idle"]

    def test_takes_the_lock_when_it_is_released(self, lock_holder, services):
        with services.database.records.connection() as connection:
            migrations.take_lock(connection, lambda _: lock_holder.invalidate(), 60)

            ((held,),) = connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert held == 1

    def test_ignores_the_lock_of_another_database(self, lock_holder, empty_database_url):
        other = sqlalchemy.create_engine(empty_database_url)

        with other.connect() as connection:
            migrations.take_lock(connection, pytest.fail, max_wait_seconds=0)

        other.dispose()


class TestCheckOwnership:
    def test_refuses_a_database_of_a_newer_release(self, query, services):
        query("UPDATE alembic_version SET version_num = '9999'")

        with services.database.records.connection() as connection, pytest.raises(MigrationError, match="revision 9999"):
            migrations.check_ownership(connection)

    def test_refuses_a_database_of_another_application(self, query_empty, empty_database_url):
        query_empty("CREATE TABLE invoices ()")

        assert _refusal(empty_database_url).startswith("The database holds tables of another application (invoices)")
        assert query_empty("SELECT to_regclass('alembic_version')") == [(None,)]

    def test_accepts_tables_of_caly_without_a_revision(self, empty_database_url):
        models = sqlalchemy.create_engine(empty_database_url, poolclass=sqlalchemy.NullPool)
        metadata.create_all(models)

        with models.connect() as connection:
            migrations.check_ownership(connection)


def _refusal(url: str) -> str:
    """What `alembic upgrade head` prints when it fails: one sentence, and nothing else."""
    environment = {**os.environ, "APP_ENV": "testing", "DATABASE_URL": url}
    alembic = [sys.executable, "-m", "alembic", "-c", "setup.cfg", "upgrade", "head"]
    done = subprocess.run(alembic, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    return done.stderr


class TestAuditLogIndexes:
    INDEX = "audit_logs_request_id_idx"

    def test_are_rebuilt_after_a_failed_attempt(self, database_url, query, run_alembic):
        months = [partitions.name(month) for month in partitions.months(clock.now(), 3)]
        run_alembic(database_url, "downgrade", "0004")
        query(f"CREATE INDEX {self.INDEX} ON ONLY audit_logs (request_id)")
        for number, month in enumerate(months[:2]):
            query(f"CREATE INDEX {month}_request_id_idx ON {month} ({'request_id' if number else 'id'})")
        query(f"ALTER INDEX {self.INDEX} ATTACH PARTITION {months[1]}_request_id_idx")

        run_alembic(database_url, "upgrade", "head")

        parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = %s::regclass"
        assert query(parts, self.INDEX) == [(len(months),)]
        assert query("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == []

    def test_are_dropped_by_a_second_attempt_too(self, query, copied):
        command.downgrade(copied, "0005")
        query(f"DROP INDEX {self.INDEX}")
        query("DROP INDEX calls_status_created_at_id_idx")

        command.downgrade(copied, "0004")

        assert query("SELECT indexname FROM pg_indexes WHERE indexname LIKE '%%user_id_created_at%%'") == []


class TestAuditCounts:
    COUNTED = "SELECT event_type, sum(entries)::int FROM audit_counts_pending GROUP BY 1 ORDER BY 1"

    def test_include_earlier_entries_once_if_the_migration_is_repeated(self, database_url, query, run_alembic):
        run_alembic(database_url, "downgrade", "0005")
        query(ENTRY, "EARLIER")
        query(ENTRY, "EARLIER")

        run_alembic(database_url, "upgrade", "0006")
        query(ENTRY, "LATER")
        run_alembic(database_url, "stamp", "0005")
        run_alembic(database_url, "upgrade", "head")

        assert query(self.COUNTED) == [("EARLIER", 2), ("LATER", 1)]

    def test_count_occurrences_once_if_the_migration_is_repeated(self, database_url, query, run_alembic):
        run_alembic(database_url, "downgrade", "0008")
        query(ENTRY, "PLAIN")
        query(THROTTLED, "THROTTLED", 4)
        query("INSERT INTO audit_counts_daily SELECT * FROM audit_counts_pending")
        query("DELETE FROM audit_counts_pending")
        query(THROTTLED, "THROTTLED", 5)
        before = query("SELECT event_type, sum(entries)::int FROM audit_counts_pending GROUP BY 1")

        run_alembic(database_url, "upgrade", "0009")
        query(THROTTLED, "THROTTLED", 6)
        run_alembic(database_url, "stamp", "0008")
        run_alembic(database_url, "upgrade", "head")

        both = "(SELECT * FROM audit_counts_daily UNION ALL SELECT * FROM audit_counts_pending) AS counts"
        assert before == [("THROTTLED", 1)]
        assert query(f"SELECT event_type, sum(entries)::int FROM {both} GROUP BY 1 ORDER BY 1") == [
            ("PLAIN", 1),
            ("THROTTLED", 15),
        ]


class TestCdrExportRows:
    TAKEN = "SELECT convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname ~ '^deliveries_route'"

    def test_prevent_a_downgrade_and_do_not_stop_imports(self, copied, query):
        command.downgrade(copied, "0007")
        query(CLIENT)
        query(IMPORTED, b"1" * 32)
        before = query(self.TAKEN)

        with pytest.raises(SystemExit, match="the ledger holds rows of CDR exports"):
            command.downgrade(copied, "0006")
        query(IMPORTED, b"2" * 32)

        assert query(self.TAKEN) == before
        assert query("SELECT version_num FROM alembic_version") == [("0007",)]


CLIENT = "INSERT INTO clients (id, name, created_at, updated_at) VALUES (gen_random_uuid(), 'Asha', now(), now())"
IMPORTED = """
INSERT INTO deliveries (client_id, digest, route, received_at, payload) SELECT id, %s, 'cdr', now(), '{}' FROM clients
"""
ENTRY = """
INSERT INTO audit_logs (id, created_at, event_type, severity, status, description)
VALUES (gen_random_uuid(), now(), %s, 'LOW', 'success', 'Said')
"""

THROTTLED = """
INSERT INTO audit_logs (id, created_at, event_type, severity, status, description, metadata)
VALUES (gen_random_uuid(), now(), %s, 'LOW', 'success', 'Said', jsonb_build_object('count', %s))
"""


def _waiting(connection: sqlalchemy.Connection) -> int:
    return connection.exec_driver_sql(
        "SELECT count(*) FROM pg_stat_activity, pg_sleep(0.01) WHERE datname = current_database() "
        "AND query ~ '^(COMMIT|SELECT pg_try_advisory_lock)' AND pid <> pg_backend_pid()"
    ).scalar_one()


NEXT = f"{int(migrations.head() or 0) + 1:04d}"
LOOKS_AROUND = f"""
from alembic import op
revision, down_revision = "{NEXT}", "{migrations.head()}"


def upgrade():
    op.execute("CREATE TABLE limits AS SELECT name, setting FROM pg_settings")
"""


@pytest.fixture
def copied(tmp_path, database_url, monkeypatch) -> Config:
    """A copy of the migrations that tests may extend, for a database at their head."""
    monkeypatch.setenv("APP_ENV", "testing")
    monkeypatch.setenv("DATABASE_URL", database_url)
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    return Config(shutil.copy(ROOT / "setup.cfg", tmp_path))


class TestMigration:
    def test_has_a_shorter_timeout_for_locks_than_for_statements(self, copied, tmp_path, query):
        (tmp_path / "alembic" / "versions" / f"{NEXT}_looks_around.py").write_text(LOOKS_AROUND)

        command.upgrade(copied, "head")

        limits = query("SELECT name, setting FROM limits WHERE name IN ('lock_timeout', 'statement_timeout')")
        assert dict(limits) == {"lock_timeout": "5000", "statement_timeout": "900000"}

    @pytest.mark.parametrize(
        ("statement", "explanation"),
        [
            ("ALTER TABLE calls ADD hidden int", "Another session uses a table that the migration changes"),
            ("SET statement_timeout = 1; SELECT pg_sleep(9)", "a statement took longer than 900 seconds"),
            ("CREATE TABLE clients (hidden text)", 'relation "clients" already exists (SQLSTATE 42P07)'),
            ("SELECT pg_terminate_backend(pg_backend_pid())", "The connection to the database broke"),
        ],
    )
    def test_explains_why_it_failed_and_at_which_revision_the_database_stays(
        self, copied, tmp_path, query, monkeypatch, statement, explanation
    ):
        monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "100ms")
        script = LOOKS_AROUND.replace("CREATE TABLE limits AS SELECT name, setting FROM pg_settings", statement)
        (tmp_path / "alembic" / "versions" / f"{NEXT}_fails.py").write_text(script)
        query("BEGIN")
        query("LOCK TABLE calls")

        with pytest.raises(SystemExit) as failure:
            command.upgrade(copied, "head")

        query("ROLLBACK")
        assert explanation in str(failure.value)
        assert f"The database stays at {migrations.head()}." in str(failure.value)
        assert "hidden" not in str(failure.value)
        assert query("SELECT version_num FROM alembic_version") == [(migrations.head(),)]

    def test_reports_the_revisions_that_ran_and_the_current_one(self, copied, capsys, caplog):
        caplog.set_level(logging.WARNING, "alembic")  # an application of another test may write its log here

        command.downgrade(copied, "0006")
        command.upgrade(copied, "0007")
        command.upgrade(copied, "0007")
        command.upgrade(copied, "head")
        command.upgrade(copied, "head")

        output = capsys.readouterr()
        lines = [line for line in output.err.splitlines() if not line.startswith("  00")]
        head = migrations.head()
        assert lines == [
            f"{head} → 0006",
            "0006 → 0007",
            "already at 0007",
            f"0007 → {head} (head)",
            f"already at {head} (head)",
        ]
        assert "  0007  The ledger also holds the rows of CDR exports." in output.err
        assert output.out == ""

    def test_gives_up_on_a_lock_that_is_never_released(self, copied, lock_holder, monkeypatch):
        monkeypatch.setattr(migrations, "MAX_WAIT_SECONDS", 0.3)

        with pytest.raises(SystemExit, match=r"Gave up after 0\.3 seconds; nothing was changed"):
            command.upgrade(copied, "head")

    def test_gets_the_next_number_when_it_is_written(self, copied, tmp_path):
        command.revision(copied, "Adds nothing", autogenerate=True)

        script = (tmp_path / "alembic" / "versions" / f"{NEXT}_adds_nothing.py").read_text()
        assert f"down_revision = {migrations.head()!r}" in script.replace('"', "'")
