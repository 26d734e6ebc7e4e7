import socket

import pytest
from sqlalchemy import make_url, text
from tls_listener import listening

from calyapp import services as wiring
from calyapp.config import Settings
from calyapp.db import connection_errors
from calyapp.errors import DatabaseError

SECRET = "canary"


def explained(url: str, statement: str = "SELECT 1", **environment: str) -> str:
    """Returns the explanation of this statement's failure in the database at `url`."""
    settings = Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": url, **environment})
    parts = wiring.build(settings)
    try:
        with pytest.raises(DatabaseError) as raised, parts.database.records.connection() as connection:
            connection.execute(text(statement))
    finally:
        parts.close()
    explanation = connection_errors.explain(raised.value)
    assert explanation.remedy.endswith(".")
    assert SECRET not in str(explanation)
    return explanation.found


RULES = (
    "local all caly trust",
    "local all with_password,unknown scram-sha-256",
    "local all without_login,full trust",
    "local all with_account peer",
    "local all rejected reject",
)


@pytest.fixture(scope="module")
def server(module_postgres):
    """A server with entries in pg_hba.conf for each kind of refused login."""
    for role in ("with_password", "with_account", "rejected", "full"):
        module_postgres.query(f'CREATE ROLE "{role}" LOGIN')
    module_postgres.query("ALTER ROLE with_password PASSWORD 'right'")
    module_postgres.query('ALTER ROLE "full" CONNECTION LIMIT 0')
    module_postgres.query("CREATE ROLE without_login NOLOGIN")
    ((hba_file,),) = module_postgres.query("SHOW hba_file")
    lines = " UNION ALL ".join(f"SELECT '{rule}'" for rule in RULES)
    module_postgres.query(f"COPY ({lines}) TO '{hba_file}'")
    module_postgres.set("log_connections", "on")  # reloads the files, and waits until it is done
    return module_postgres


class TestExplanation:
    """One sentence for each cause."""

    @pytest.mark.parametrize(
        ("address", "found"),
        [
            ("127.0.0.1:1/caly", "PostgreSQL refuses the connection: nothing listens there"),
            ("/caly?host=/nowhere", "PostgreSQL is not running on this host: its socket does not exist"),
            (f"{SECRET}@{SECRET}.invalid/caly", "The host name of PostgreSQL does not resolve"),
            (f"{SECRET}.invalid/caly", "The host name of PostgreSQL does not resolve"),
            ("localhost/caly?sslmode=always", "sslmode has a value that PostgreSQL does not accept here"),
            (f"localhost/caly?password_file={SECRET}", "The database URL is malformed"),
            ("localhost:99999/caly", "The database URL is malformed"),
        ],
    )
    def test_of_an_unreachable_address(self, address, found):
        assert explained(f"postgresql://caly:{SECRET}@{address}") == found

    def test_of_a_database_that_does_not_exist(self, database_url):
        url = make_url(database_url).set(database=SECRET).render_as_string(hide_password=False)

        assert explained(url) == "The database does not exist"

    def test_of_a_database_without_tables(self, empty_database_url):
        assert explained(empty_database_url, "SELECT * FROM clients") == (
            "The tables in this database are missing or too old"
        )

    def test_of_a_statement_that_the_server_timed_out(self, database_url):
        found = explained(database_url, "SELECT pg_sleep(60)", DB_STATEMENT_TIMEOUT="50")

        assert found == "A statement timed out"

    def test_of_a_statement_that_the_application_timed_out(self, database_url):
        # A frozen server does not cancel its statements.
        statement = "SET statement_timeout = 0; SELECT pg_sleep(60)"

        assert explained(database_url, statement, DB_STATEMENT_TIMEOUT="50") == "A statement timed out"

    def test_of_a_statement_prepared_on_another_connection(self, database_url):
        assert explained(database_url, "EXECUTE record_delivery") == (
            "A pooler in front of PostgreSQL changes connections between statements"
        )

    def test_of_a_database_that_accepts_only_reads(self, database_url, query):
        query(f"ALTER DATABASE {make_url(database_url).database} SET default_transaction_read_only TO on")

        found = explained(database_url, "DELETE FROM clients")

        assert found == "PostgreSQL accepts only reads, as a standby does"


class TestLogin:
    @pytest.mark.parametrize(
        ("user", "password", "found"),
        [
            ("with_password", SECRET, "PostgreSQL does not accept the user or the password"),
            ("unknown", SECRET, "PostgreSQL does not accept the user or the password"),
            ("with_password", None, "PostgreSQL asks for a password, and none is set"),
            ("with_account", None, "PostgreSQL lets this database user in only from the account of the same name"),
            ("without_login", None, "The database user may not log in"),
            ("rejected", None, "PostgreSQL refuses this user, database or host (pg_hba.conf)"),
            ("nobody", None, "PostgreSQL refuses this user, database or host (pg_hba.conf)"),
            ("full", None, "PostgreSQL has no connection left"),
        ],
    )
    def test_that_fails_is_explained(self, server, user, password, found):
        url = make_url(server.url).set(username=user, password=password)

        assert explained(url.render_as_string(hide_password=False)) == found

    def test_of_a_user_that_does_not_exist_is_explained(self, database_url):
        url = make_url(database_url).set(username=SECRET).render_as_string(hide_password=False)

        assert explained(url) == "The database user does not exist"


class TestTls:
    """With different answers of the server before and during the handshake."""

    @pytest.mark.parametrize(
        ("answer", "mode", "found"),
        [
            (b"N", "require", "PostgreSQL offers no TLS, and sslmode demands it"),
            (b"S", "verify-full&sslrootcert=system", "The TLS certificate of PostgreSQL is not trusted"),
            (
                b"S",
                "verify-full&sslrootcert=/canary",
                "sslmode demands a trusted certificate, and the file of root certificates does not exist",
            ),
            (b"S", "require&sslrootcert=system", "sslmode has a value that PostgreSQL does not accept here"),
            (b"HTTP/1.1 400 Bad Request", "require", "Another program than PostgreSQL answers there"),
            (b"", "require", "PostgreSQL closed the connection"),
        ],
    )
    def test_that_fails_is_explained(self, answer, mode, found):
        with listening(answer, tls=answer == b"S") as port:
            assert explained(f"postgresql://caly:{SECRET}@localhost:{port}/caly?sslmode={mode}") == found

    def test_to_a_server_that_does_not_answer_is_explained(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"postgresql://caly:{SECRET}@localhost:{silent.getsockname()[1]}/caly"

            assert explained(url, DB_CONNECTION_TIMEOUT="1") == (
                "PostgreSQL did not answer in time when the connection was opened"
            )


class TestSource:
    def test_is_named_in_the_remedy(self):
        error = ConnectionError()
        error.__cause__ = connection_errors.psycopg2.OperationalError("could not translate host name")

        assert "in --into" in connection_errors.explain(error, "--into").remedy

    def test_of_an_error_of_another_kind_is_unknown(self):
        assert connection_errors.explain(ValueError(SECRET)).found == "PostgreSQL failed"
