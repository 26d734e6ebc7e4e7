"""Which rows PostgreSQL shows to each tenant, for both kinds of login role: a superuser and an ordinary owner."""

from dataclasses import replace
from uuid import UUID, uuid4

import psycopg2.errors
import pytest
import sample_records
from sqlalchemy import make_url, text

from calyapp import clock
from calyapp import services as wiring
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.backup import backup as backups
from calyapp.backup import restore as restores
from calyapp.backup.client_programs import MaintenanceError
from calyapp.calls.event import Route
from calyapp.config import Secret
from calyapp.db import engine, partitions, tenancy
from calyapp.errors import DatabaseError
from calyapp.exotel import payload, rebuild

TABLES = ("calls", "deliveries", "audit_logs", "audit_counts_daily", "audit_counts_pending")
OURS = sample_records.CLIENT_ID
THEIRS = UUID("7b1d0a2f-9e54-4d6e-8e70-1e2f4f2d3c5b")


@pytest.fixture
def owner(query, empty_database_url, query_empty):
    """The empty database's URL for its owner: a role without special attributes, and a member of `caly_reader`."""
    role = f"owner_{uuid4().hex}"
    query(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEROLE")
    query(f"GRANT {tenancy.READER} TO {role}")
    query(f"ALTER DATABASE {make_url(empty_database_url).database} OWNER TO {role}")
    yield make_url(empty_database_url).set(username=role).render_as_string(hide_password=False)
    query_empty(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
    query_empty(f"DROP OWNED BY {role}")
    query(f"DROP ROLE {role}")


@pytest.fixture(params=["superuser", "owner"])
def place(request, database_url, query):
    """`(url, query)` of a migrated database, reached as a superuser and as an ordinary owner."""
    if request.param == "superuser":
        return database_url, query
    url, query_empty, run_alembic = map(request.getfixturevalue, ("owner", "query_empty", "run_alembic"))
    run_alembic(url, "upgrade", "head")
    return url, query_empty


@pytest.fixture
def pools(place, settings):
    database = engine.database(replace(settings, database_url=Secret(place[0])))
    yield database
    database.close()


@pytest.fixture
def filled(place):
    """Three calls of each of two clients, with their deliveries and entries."""
    _, query = place
    sample_records.fill(query, calls=3)
    query("INSERT INTO audit_counts_daily SELECT * FROM audit_counts_pending")
    for table in TABLES:
        query(
            f"INSERT INTO {table} SELECT (jsonb_populate_record({table}, "
            f"jsonb_build_object('client_id', '{THEIRS}', 'id', gen_random_uuid()))).* FROM {table}"
        )


def seen(pool, tenant) -> dict[str, set]:
    """Returns the clients whose rows each table shows."""
    with tenancy.reading(pool, tenant) as connection:
        return {table: set(connection.scalars(text(f"SELECT client_id FROM {table}"))) for table in TABLES}


def shows(*clients: UUID) -> dict[str, set]:
    """Returns what `seen` returns if each table shows the rows of only these clients."""
    return {table: set(clients) for table in TABLES}


class TestTables:
    def test_of_clients_that_the_reader_may_read_are_all_under_the_policy(self, query):
        readable = query(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, count(p.oid) FROM pg_class c "
            "LEFT JOIN pg_policy p ON p.polrelid = c.oid "
            "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace "
            f"AND has_table_privilege('{tenancy.READER}', c.oid, 'SELECT') AND EXISTS (SELECT FROM pg_attribute a "
            "WHERE a.attrelid = c.oid AND a.attname = 'client_id' AND NOT a.attisdropped) GROUP BY c.oid ORDER BY 1"
        )

        assert readable == [(table, True, 1) for table in sorted(TABLES)]


class TestReading:
    def test_shows_the_rows_of_one_tenant(self, pools, filled):
        assert seen(pools.records, THEIRS) == shows(THEIRS)

    def test_shows_the_rows_of_all_tenants(self, pools, filled):
        assert seen(pools.records, tenancy.ALL) == shows(OURS, THEIRS)

    @pytest.mark.parametrize("nobody", ["", "?", "**", str(THEIRS)[:-1], str(THEIRS) + "\n", "-" * 36])
    def test_shows_nothing_to_an_invalid_tenant(self, pools, filled, nobody):
        assert seen(pools.records, nobody) == shows()

    def test_shows_nothing_while_no_tenant_is_set(self, pools, filled):
        with pools.records.transaction() as connection:
            connection.execute(text(f"SET LOCAL ROLE {tenancy.READER}"))
            counts = [connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in TABLES]

        assert counts == [0] * len(TABLES)

    def test_ends_with_its_transaction(self, pools, filled):
        with tenancy.reading(pools.records, THEIRS) as connection:
            before = connection.connection.dbapi_connection
        with pools.records.connection() as connection:
            same = connection.connection.dbapi_connection is before
            clients = set(connection.scalars(text("SELECT client_id FROM calls")))

        assert (same, clients) == (True, {OURS, THEIRS})

    @pytest.mark.parametrize("statement", ["DELETE FROM calls", "CREATE TEMPORARY TABLE t ()", "INSERT INTO users"])
    def test_changes_nothing(self, pools, filled, statement):
        with pytest.raises(DatabaseError), tenancy.reading(pools.records, tenancy.ALL) as connection:
            connection.execute(text(statement))

    @pytest.mark.parametrize("table", ["users", "sessions", "api_keys", "clients", partitions.name(clock.now())])
    def test_is_refused_for_all_other_tables(self, pools, filled, table):
        with pytest.raises(DatabaseError) as raised, tenancy.reading(pools.records, tenancy.ALL) as connection:
            connection.execute(text(f"SELECT * FROM {table}"))

        assert isinstance(raised.value.__cause__, psycopg2.errors.InsufficientPrivilege)

    def test_is_refused_for_a_month_that_was_created_later(self, pools, place):
        with pools.records.transaction() as connection:
            connection.execute(text(f"DROP TABLE {partitions.name(clock.now())}"))
            (made,) = partitions.ensure(connection, clock.now())

        assert place[1](f"SELECT has_table_privilege('{tenancy.READER}', '{made}', 'SELECT')") == [(False,)]


class TestUnrestrictedAccess:
    def test_reads_and_changes_the_rows_of_all_tenants(self, pools, filled):
        with pools.records.transaction() as connection:
            counts = [connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in TABLES]
            changed = connection.execute(text("UPDATE calls SET updated_at = now()")).rowcount
            audit_log.append(connection, Entry.now(EventType.DATA_CREATED, "Made"))

        assert (counts, changed) == ([6, 24, 24, 2, 4], 6)

    def test_records_deliveries_and_rebuilds_calls(self, pools, place, settings):
        parts = wiring.build(replace(settings, database_url=Secret(place[0])))
        client = parts.clients.add("Asha Clinics", ["+918047112345"])
        pairs = [("CallSid", "sid-1"), ("From", "09876543210"), ("To", "08047112345")]
        moment = clock.now()
        arrival = payload.Arrival(at=moment, audit_id=clock.uuid7(moment))
        for _ in range(2):
            parts.recorder.record(payload.load(Route.CALL_START, pairs, arrival, client.id))
        place[1]("UPDATE calls SET status = 'failed', phase = 'over', evidence = 'failed'")

        differences = list(rebuild.rebuild(parts.database.records))
        parts.close()

        assert [bool(difference) for difference in differences] == [True]
        assert place[1]("SELECT status, (SELECT max(repeats) FROM deliveries) FROM calls") == [("initiated", 1)]


class TestBackup:
    def test_is_complete_and_can_be_restored(self, pools, place, filled, tmp_path, server_url):
        url, query = place
        with pools.records.connection() as connection:
            contents = backups.survey(connection)
        file = backups.make(url, tmp_path, contents, keep=1).file
        before = sample_records.fingerprints(query)
        query("DROP TABLE calls, deliveries, audit_logs, alembic_version, client_numbers, sessions, api_keys, users")
        query("DROP TABLE audit_counts_daily, audit_counts_pending, exotel_accounts, clients")
        query("DROP FUNCTION audit_logs_refuse_change, audit_logs_count")

        with pools.records.transaction() as connection:
            server = restores.check_target(connection)
            restores.ensure_roles(connection)
        restores.fill(url, file, server)

        assert sample_records.fingerprints(query) == before
        assert seen(pools.records, THEIRS) == shows(THEIRS)

    def test_is_refused_if_another_policy_may_hide_rows(self, owner, settings, run_alembic, query_empty):
        run_alembic(owner, "upgrade", "head")
        database = engine.database(replace(settings, database_url=Secret(owner)))
        query_empty("CREATE POLICY more ON deliveries AS RESTRICTIVE USING (repeats = 0)")

        with database.records.connection() as connection, pytest.raises(MaintenanceError) as raised:
            backups.survey(connection)
        database.close()

        assert raised.value.reason.startswith("Row-level security may hide rows of deliveries from this role. ")


class TestRole:
    def test_that_cannot_be_granted_is_reported_with_the_statements_to_run(self, owner, query, settings):
        role = make_url(owner).username
        query(f"REVOKE {tenancy.READER} FROM {role}")
        database = engine.database(replace(settings, database_url=Secret(owner)))

        with pytest.raises(MaintenanceError) as raised, database.records.transaction() as connection:
            restores.ensure_roles(connection)
        database.close()

        assert raised.value.reason == (
            f"The role {role} lacks CREATEROLE, or ADMIN OPTION on caly_reader, to set up row-level security. "
            f"Let a superuser run: CREATE ROLE caly_reader NOLOGIN; GRANT caly_reader TO {role};"
        )
