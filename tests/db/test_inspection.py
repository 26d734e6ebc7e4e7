import pytest
from sqlalchemy import make_url

from calyapp import services as wiring
from calyapp.config import Settings
from calyapp.db import inspection


@pytest.fixture
def lowly_url(database_url, query) -> str:
    """The database's URL for a role without privileges."""
    query("DROP ROLE IF EXISTS lowly")
    query("CREATE ROLE lowly LOGIN CONNECTION LIMIT 7")
    yield make_url(database_url).set(username="lowly").render_as_string(hide_password=False)
    query("DROP OWNED BY lowly")
    query("DROP ROLE lowly")


@pytest.fixture
def connect():
    opened = []

    def connect(url: str):
        parts = wiring.build(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": url}))
        opened.append(parts)
        return parts.database.ingest.connection()

    yield connect
    for parts in opened:
        parts.close()


class TestServer:
    def test_is_described_by_version_and_limits(self, connect, database_url, query):
        ((version, connections),) = query(
            "SELECT current_setting('server_version'), current_setting('max_connections')"
        )

        with connect(database_url) as connection:
            server = inspection.inspect(connection)

        assert server.version == int(version.split(".")[0])
        assert server.connections == int(connections)  # for a superuser
        assert (server.is_local, server.is_superuser, server.encoding) == (True, True, "UTF8")
        assert (server.is_standby, server.is_read_only) == (False, False)
        assert "fsync" in server.not_durable
        assert abs(server.seconds_ahead) < 60

    def test_has_fewer_connections_for_a_role_with_a_limit(self, connect, lowly_url):
        with connect(lowly_url) as connection:
            server = inspection.inspect(connection)

        assert (server.connections, server.is_superuser) == (7, False)

    def test_is_reported_as_read_only(self, connect, database_url, query):
        name = make_url(database_url).database
        query(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")

        with connect(database_url) as connection:
            assert inspection.inspect(connection).is_read_only


class TestPrivileges:
    def test_of_the_owner_are_sufficient(self, connect, database_url):
        with connect(database_url) as connection:
            assert inspection.lacking_privileges(connection) == []

    def test_that_are_missing_are_named(self, connect, lowly_url, query):
        query("GRANT SELECT, INSERT ON calls, deliveries, audit_logs TO lowly")
        query("GRANT SELECT ON clients TO lowly")
        query("REVOKE CREATE ON SCHEMA public FROM PUBLIC")

        with connect(lowly_url) as connection:
            lacking = inspection.lacking_privileges(connection)

        assert set(lacking) == {
            "SELECT ON client_numbers",
            "UPDATE ON deliveries",
            "UPDATE ON calls",
            "CREATE ON SCHEMA public",
            "OWNERSHIP OF audit_logs",
            *(f"{privilege} ON audit_counts_pending" for privilege in ("SELECT", "INSERT", "DELETE")),
            *(f"{privilege} ON audit_counts_daily" for privilege in ("SELECT", "INSERT", "UPDATE")),
        }
