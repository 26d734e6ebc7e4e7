from dataclasses import replace

import psycopg2.errors
import pytest
import sample_records

from calyapp.backup import backup, restore
from calyapp.backup.client_programs import MaintenanceError
from calyapp.config import Secret
from calyapp.db import engine


@pytest.fixture
def made(services, database_url, tmp_path, query):
    """A backup of a database with three calls."""
    sample_records.fill(query, calls=3)
    with services.database.records.connection() as connection:
        contents = backup.survey(connection)
    return backup.make(database_url, tmp_path, contents, keep=1).file


@pytest.fixture
def target(settings, empty_database_url):
    """`target(function, *arguments)`: calls the function with a connection to an empty database, in a transaction."""
    database = engine.database(replace(settings, database_url=Secret(empty_database_url)))

    def run(function, *arguments):
        with database.records.transaction() as connection:
            return function(connection, *arguments)

    yield run
    database.close()


@pytest.fixture
def fill(target, empty_database_url, made):
    return lambda: restore.fill(empty_database_url, made, target(restore.check_target))


class TestFile:
    def test_is_accepted_if_its_checksum_matches(self, made):
        assert restore.check_file(made) == backup.checksum(made)

    def test_is_refused_if_a_bit_differs(self, made):
        content = bytearray(made.read_bytes())
        content[len(content) // 2] ^= 1
        made.write_bytes(content)

        with pytest.raises(MaintenanceError, match=r"^The backup is damaged: its checksum differs\. Use an earlier"):
            restore.check_file(made)

    def test_is_refused_without_its_checksum(self, made):
        backup.checksum_file(made).unlink()

        with pytest.raises(MaintenanceError, match=r"cannot be read \(No such file or directory\): .*\.sha256$"):
            restore.check_file(made)


class TestTarget:
    def test_is_accepted_if_it_is_empty(self, target):
        assert target(restore.check_target) >= 15

    def test_is_refused_if_it_has_a_table(self, target, query_empty):
        query_empty("CREATE SCHEMA other CREATE TABLE precious ()")

        with pytest.raises(
            MaintenanceError, match=r"^The database is not empty \(it has other\.precious\): create a new"
        ):
            target(restore.check_target)


class TestFill:
    def test_restores_every_row(self, fill, query, query_empty):
        fill()

        restored = sample_records.fingerprints(query_empty)
        assert restored == sample_records.fingerprints(query)
        assert restored["calls"][0] == 3
        assert sum(count for table, (count, _) in restored.items() if table.startswith("audit_logs")) == 12

    @pytest.mark.parametrize(
        "kept",
        [
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2",
            "SELECT tgrelid::regclass::text, tgname, tgenabled, tgisinternal FROM pg_trigger ORDER BY 1, 2",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
            "SELECT oid::regclass::text, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition ORDER BY 1",
        ],
        ids=["constraints", "triggers", "indexes", "partitions"],
    )
    def test_restores_constraints_triggers_indexes_and_partitions(self, fill, query, query_empty, kept):
        fill()

        # The names of some constraints' triggers contain an object id of the database.
        assert [row for row in query_empty(kept) if "RI_" not in str(row)] == [
            row for row in query(kept) if "RI_" not in str(row)
        ]

    @pytest.mark.parametrize(
        "change", ["UPDATE audit_logs SET status = 'failure'", "DELETE FROM audit_logs", "TRUNCATE audit_logs"]
    )
    def test_keeps_the_audit_log_append_only(self, fill, query_empty, change):
        fill()

        with pytest.raises(psycopg2.errors.RestrictViolation, match="append-only"):
            query_empty(change)

    def test_restores_the_counts_and_continues_to_count(self, fill, query_empty):
        fill()
        query_empty(
            "INSERT INTO audit_logs (id, created_at, event_type, severity, status, description) "
            "VALUES (gen_random_uuid(), now(), 'CALL_STARTED', 'LOW', 'success', 'Call started')"
        )

        counted = query_empty("SELECT sum(entries) FROM audit_counts_pending")
        assert counted == query_empty("SELECT count(*) FROM audit_logs") == [(13,)]

    def test_restores_nothing_from_a_truncated_file(self, fill, made, query_empty):
        content = made.read_bytes()
        made.write_bytes(content[: len(content) - 200])

        with pytest.raises(MaintenanceError, match=r"^pg_restore failed with exit code 1: "):
            fill()

        assert query_empty("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]


class TestSettle:
    def test_counts_the_rows(self, fill, target):
        fill()

        restored = target(restore.settle)

        assert restored.rows == {"clients": 1, "calls": 3, "deliveries": 12, "audit_logs": 12}
        assert not restored.needs_migration

    def test_reports_tables_of_another_revision(self, fill, target, query_empty):
        fill()
        query_empty("UPDATE alembic_version SET version_num = '0000'")

        assert target(restore.settle).needs_migration

    def test_creates_the_partitions_of_newer_months(self, query, fill, target, query_empty):
        fill()
        months = "SELECT relid::text FROM pg_partition_tree('audit_logs') WHERE isleaf ORDER BY 1"
        newest = query(months)[-1][0]
        query_empty(f"DROP TABLE {newest}")

        target(restore.settle)

        assert query_empty(months) == query(months)

    def test_updates_the_statistics_of_the_planner(self, fill, target, query_empty):
        fill()

        target(restore.settle)

        assert query_empty("SELECT reltuples FROM pg_class WHERE oid = 'deliveries'::regclass") == [(12.0,)]
