"""Tests `flask caly doctor` on a deployment as operators make it: healthy, and with one fault at a time."""

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest
from nginx_server import CERTIFICATE, Nginx
from postgres_server import PostgresServer
from redis_server import RedisServer
from running_server import ROOT, Server, eventually

BACKED_UP = """
INSERT INTO audit_logs (id, created_at, event_type, severity, status, description, resource, metadata)
VALUES (gen_random_uuid(), now(), 'BACKUP_COMPLETED', 'LOW', 'success', 'Backup completed', 'database', '{}')
"""
KEYS = ("SECRET_KEY", "WEBHOOK_ROOT_KEY", "STREAM_TOKEN_KEY", "ENCRYPTION_KEY")
FORGET_REQUEST_ID = ("    proxy_set_header X-Request-ID $caly_request_id;\n", "")
FORGET_ADDRESS = ("    proxy_set_header X-Forwarded-For $remote_addr;\n", "")
APPEND_ADDRESS = ("X-Forwarded-For $remote_addr", "X-Forwarded-For $proxy_add_x_forwarded_for")
FORGET_SCHEME = ("    proxy_set_header X-Forwarded-Proto $scheme;\n", "")
ALWAYS_SECURE = ("X-Forwarded-Proto $scheme", "X-Forwarded-Proto https")
REDIRECT_ALL = (
    "    location / {\n",
    "    if ($https = '') { return 301 https://$host$request_uri; }\n    location / {\n",
)
TELL_VERSION = ("server_tokens off", "server_tokens on")
DOUBLE_HEADER = ("    location / {\n", '    add_header X-Frame-Options "DENY" always;\n    location / {\n')
HIDE_HEADER = ("    location / {\n", "    proxy_hide_header Content-Security-Policy;\n    location / {\n")


@pytest.fixture(scope="module")
def front() -> str:
    return "nginx"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="caly-doctor-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def database(migrated_data, folder, run_alembic) -> Iterator[PostgresServer]:
    """A durable server with a role for Caly that owns its database."""
    shutil.copytree(migrated_data, folder / "postgres")
    postgres = PostgresServer(folder / "postgres", durable=True)
    try:
        postgres.start()
        postgres.query("CREATE ROLE service LOGIN")
        postgres.query("GRANT caly_reader TO service")  # as in INSTALL.md; an earlier migration created the role
        postgres.query("CREATE DATABASE service OWNER service")
        run_alembic(service_url(postgres), "upgrade", "head")
        yield postgres
    finally:
        postgres.close()


def service_url(postgres: PostgresServer) -> str:
    return postgres.url.replace("caly@/caly", "service@/service")


@pytest.fixture(scope="module")
def redis(folder) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def spool() -> Iterator[Path]:
    """A folder that is suitable for a spool. `/tmp` may be in memory."""
    with TemporaryDirectory(prefix="caly-spool-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def server(module_serve, database, redis, spool, folder) -> Server:
    """A server as in production, without a fault."""
    server = module_serve(
        **{key: secrets.token_hex(32) for key in KEYS},
        APP_ENV="production",
        DATABASE_URL=service_url(database),
        RATELIMIT_STORAGE_URI=redis.url,
        STREAM_BASE_URL="wss://media.example",
        WEB_CONCURRENCY="2",
        SPOOL_DIR=str(spool),
        SCAN_DIR=str(folder / "scan"),
    )
    in_service(database, BACKED_UP)
    (folder / "scan").mkdir()
    report = {"status": "PASSED", "summary": {"scannedAt": datetime.now(UTC).isoformat(), "findings": {}}}
    (folder / "scan" / "latest.json").write_text(json.dumps(report))
    server.environment["SSL_CERT_FILE"] = str(CERTIFICATE)
    server.environment["STREAM_BASE_URL"] = f"wss://localhost:{server.nginx.tls_port}"
    eventually((spool / "directory").exists)
    return server


def run(server: Server, *options: str, **overrides: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "flask", "caly", "doctor", *options]
    environment = server.environment | overrides
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def examined(server: Server, nginx: Nginx | None = None, **overrides: str) -> tuple[int, dict[str, dict]]:
    """Returns the exit code, and the result of each check by its name. Checks through nginx if one is given."""
    done = run(server, *(through(nginx) if nginx else ()), "--json", **overrides)
    assert done.stderr == ""
    return done.returncode, {one["check"]: one for one in json.loads(done.stdout)}


def through(nginx: Nginx) -> tuple[str, ...]:
    return "--url", f"https://localhost:{nginx.tls_port}", "--http-url", f"http://localhost:{nginx.port}"


def assert_named(found: tuple[int, dict[str, dict]], check: str, verdict: str) -> None:
    """Asserts that only this check reports a problem. Checks that depend on it may be `not examined`."""
    code, diagnoses = found
    spoken = {name: one for name, one in diagnoses.items() if one["verdict"] != "ok" and name != "front"}
    assert diagnoses[check]["verdict"] == verdict, diagnoses
    assert diagnoses[check]["remedy"]
    assert all(one["found"].startswith("not examined") for name, one in spoken.items() if name != check), spoken
    assert code == (1 if verdict == "fail" else 0)


class TestGoodDeployment:
    def test_has_no_problem(self, server):
        code, found = examined(server, server.nginx)

        assert {name: one for name, one in found.items() if one["verdict"] != "ok"} == {}
        assert code == 0

    def test_is_reported_in_one_line_for_each_check_without_a_secret(self, server):
        done = run(server, *through(server.nginx))

        *lines, _, last = done.stdout.splitlines()
        assert last == f"{len(lines)} checks: {len(lines)} ok, 0 warn, 0 fail"
        assert not [key for key in KEYS if server.environment[key] in done.stdout]

    def test_records_no_delivery_of_the_doctor(self, server, database):
        examined(server, server.nginx)

        assert in_service(database, "SELECT count(*) FROM deliveries") == [(0,)]
        # Refusals are in the audit log at once, or a second later if throttled.
        kinds = in_service(database, "SELECT DISTINCT event_type FROM audit_logs")
        assert set(kinds) <= {("WEBHOOK_REJECTED",), ("BACKUP_COMPLETED",)}


def in_service(database: PostgresServer, sql: str) -> list[tuple]:
    """Runs SQL as a superuser in the database of the service. Returns the rows."""
    dsn = database.url.replace("postgresql+psycopg2", "postgresql").replace("caly@/caly", "caly@/service")
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class TestFaultInTheEnvironment:
    @pytest.mark.parametrize(
        ("overrides", "check", "verdict"),
        [
            ({"WEBHOOK_AUTH": "optional"}, "configuration", "warn"),
            ({"LOG_LEVEL": "debug"}, "configuration", "warn"),
            ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "trust", "fail"),
            ({"HEALTH_TRUSTED": "127.0.0.1/32,::/0"}, "trust", "fail"),
            ({"SECRET_KEY": "1a" * 32}, "keys", "warn"),
            ({"SECRET_KEY": "0f1e2d3c4b5a6978" * 4, "STREAM_TOKEN_KEY": "0f1e2d3c4b5a6978" * 4}, "keys", "fail"),
            ({"DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}, "database", "fail"),
            ({"DB_POOL_MAX": "60"}, "database connections", "fail"),
            ({"RATELIMIT_STORAGE_URI": "redis://127.0.0.1:1/0"}, "limits storage", "fail"),
            ({"RATELIMIT_STORAGE_URI": "redis://redis.invalid/0"}, "limits storage", "fail"),
            ({"STREAM_BASE_URL": "wss://media.invalid"}, "stream", "warn"),
            ({"STREAM_BASE_URL": "wss://127.0.0.1:1"}, "stream", "warn"),
            ({"SPOOL_DIR": "/nowhere/spool"}, "spool folder", "fail"),
            ({"SPOOL_MAX_MB": "1048576"}, "disk", "fail"),
        ],
    )
    def test_is_named(self, server, overrides, check, verdict):
        assert_named(examined(server, **overrides), check, verdict)

    def test_such_as_a_spool_in_memory_is_named(self, server):
        with TemporaryDirectory(prefix="caly-spool-", dir="/dev/shm") as memory:
            assert_named(examined(server, SPOOL_DIR=memory), "spool folder", "fail")

    def test_such_as_workers_with_separate_limit_counters_is_named(self, server):
        _, found = examined(server, APP_ENV="testing", RATELIMIT_STORAGE_URI="memory://")

        assert found["limits storage"]["verdict"] == "warn"
        assert found["configuration"]["verdict"] == "warn"

    @pytest.mark.parametrize(
        ("overrides", "words"),
        [
            ({"SECRET_KEY": "short"}, "SECRET_KEY must be at least 32 bytes"),
            ({"RATELIMIT_STORAGE_URI": "memory://"}, "RATELIMIT_STORAGE_URI must begin with redis://"),
            ({"STREAM_BASE_URL": "ws://media.example"}, "STREAM_BASE_URL must begin with wss://"),
        ],
    )
    def test_that_prevents_loading_ends_the_command_with_1_and_names_the_variable(self, server, overrides, words):
        done = run(server, **overrides)

        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        assert "Traceback" not in done.stderr


class TestBrokenDatabase:
    @pytest.mark.parametrize(
        ("breaks", "mends", "check", "verdict"),
        [
            (
                "ALTER ROLE service SET default_transaction_read_only TO on",
                "ALTER ROLE service RESET ALL",
                "database writes",
                "fail",
            ),
            (
                "ALTER ROLE service SET synchronous_commit TO off",
                "ALTER ROLE service RESET ALL",
                "database durability",
                "fail",
            ),
            (
                "ALTER ROLE service CONNECTION LIMIT 39",
                "ALTER ROLE service CONNECTION LIMIT -1",
                "database connections",
                "fail",
            ),
            (
                "ALTER TABLE alembic_version RENAME TO elsewhere",
                "ALTER TABLE elsewhere RENAME TO alembic_version",
                "migrations",
                "fail",
            ),
            (
                "REVOKE UPDATE ON deliveries FROM service",
                "GRANT UPDATE ON deliveries TO service",
                "database role",
                "fail",
            ),
            ("ALTER ROLE service SUPERUSER", "ALTER ROLE service NOSUPERUSER", "database role", "warn"),
        ],
    )
    def test_is_named(self, server, database, breaks, mends, check, verdict):
        in_service(database, breaks)

        found = examined(server)
        in_service(database, mends)

        assert_named(found, check, verdict)

    def test_without_next_months_partition_is_named(self, server, database):
        ((partition, bounds),) = in_service(
            database,
            "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class "
            "WHERE relname = 'audit_logs_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')",
        )
        in_service(database, f"ALTER TABLE audit_logs DETACH PARTITION {partition}")

        found = examined(server)
        in_service(database, f"ALTER TABLE audit_logs ATTACH PARTITION {partition} {bounds}")

        assert_named(found, "partitions", "fail")
        assert partition in found[1]["partitions"]["found"]


class TestBrokenHost:
    def test_with_a_world_accessible_spool_is_named(self, server, spool):
        spool.chmod(0o755)

        found = examined(server)
        spool.chmod(0o700)

        assert_named(found, "file modes", "fail")

    def test_with_a_world_readable_file_is_named(self, server, spool):
        (spool / "journal.lock").chmod(0o644)  # not the directory's file: the server replaces it while it runs

        found = examined(server)
        (spool / "journal.lock").chmod(0o600)

        assert_named(found, "file modes", "fail")

    def test_with_a_delivery_in_quarantine_is_named(self, server, spool):
        with _journal(spool) as journal:
            journal.execute(
                "INSERT INTO frames (lane, client, arrived_at, checksum, not_before, reason, content) "
                "VALUES ('away', '', 0, x'00', 0, 'SQLSTATE 22003', x'00')"
            )

        found = examined(server)
        with _journal(spool) as journal:
            journal.execute("DELETE FROM frames")

        assert_named(found, "spool", "warn")

    def test_with_a_damaged_copy_of_the_directory_is_named(self, server, spool):
        elsewhere = spool / "damaged"  # a separate folder, because the running service would rewrite its own
        elsewhere.mkdir(0o700)
        (elsewhere / "directory").write_bytes((spool / "directory").read_bytes()[:-1])
        (elsewhere / "directory").chmod(0o600)

        found = examined(server, SPOOL_DIR=str(elsewhere))

        assert_named(found, "directory", "warn")

    def test_on_which_the_service_does_not_run_is_named(self, server, spool):
        elsewhere = spool / "stopped"
        elsewhere.mkdir(0o700)
        shutil.copy2(spool / "directory", elsewhere)
        os.utime(elsewhere / "directory", (0, 0))

        assert_named(examined(server, SPOOL_DIR=str(elsewhere)), "directory", "warn")


@contextmanager
def _journal(spool: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(spool / "journal.db", timeout=30)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


class TestBrokenNginx:
    @pytest.fixture
    def changed(self, server) -> Iterator[Callable[[str, str], Nginx]]:
        """`changed(ours, theirs)` starts a second nginx in front of the same Caly, `ours` in its site replaced."""
        with TemporaryDirectory(prefix="caly-nginx-", dir="/tmp") as name:
            nginx = Nginx(Path(name))

            def start(ours: str, theirs: str) -> Nginx:
                site = Path(name) / "caly.conf"
                assert ours in site.read_text()
                site.write_text(site.read_text().replace(ours, theirs))
                nginx.upstream.symlink_to(server.nginx.upstream)
                nginx.start()
                return nginx

            yield start
            nginx.stop()

    @pytest.mark.parametrize(
        ("change", "check", "verdict"),
        [
            (FORGET_REQUEST_ID, "request id", "fail"),
            (FORGET_ADDRESS, "forwarded address", "fail"),
            (FORGET_SCHEME, "plain http", "fail"),
            (REDIRECT_ALL, "plain http", "fail"),
            (ALWAYS_SECURE, "plain http", "fail"),
            (DOUBLE_HEADER, "security headers", "fail"),
            (HIDE_HEADER, "security headers", "fail"),
            (TELL_VERSION, "server header", "warn"),
        ],
    )
    def test_is_named(self, server, changed, change, check, verdict):
        code, found = examined(server, changed(*change))

        assert found[check]["verdict"] == verdict, found
        assert found[check]["remedy"].startswith("Use deploy/nginx/caly.conf unchanged")
        assert code == (1 if verdict == "fail" else 0)

    def test_that_appends_to_a_forged_address_is_harmless_because_its_own_comes_last(self, server, changed):
        _, found = examined(server, changed(*APPEND_ADDRESS))

        assert found["forwarded address"]["verdict"] == "ok"

    def test_with_an_untrusted_certificate_is_named(self, server):
        found = examined(server, server.nginx, SSL_CERT_FILE="")

        assert found[1]["certificate"]["verdict"] == "fail"
        assert found[1]["front"]["found"].startswith("not examined")
        assert found[0] == 1

    def test_that_is_unreachable_is_named(self, server):
        code, found = examined_at(server, "https://localhost:1")

        assert (code, found["certificate"]["found"]) == (1, "nothing listens there")


def examined_at(server: Server, url: str) -> tuple[int, dict[str, dict]]:
    done = run(server, "--url", url, "--http-url", "http://localhost:1", "--json")
    return done.returncode, {one["check"]: one for one in json.loads(done.stdout)}
