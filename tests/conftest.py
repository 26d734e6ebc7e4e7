"""Fixtures for all tests: one PostgreSQL server per run, and a separate database with all tables for each test."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import hypothesis
import psycopg2
import pytest
from advisory_service import Advisories, advisory_service
from counting_worker import StartWorker, Worker
from postgres_server import PostgresServer
from redis_server import RedisServer, RedisUnavailable, redis_program
from sqlalchemy import make_url

from calyapp import services as wiring
from calyapp.app import create_app
from calyapp.config import Settings
from calyapp.embedded import server

ROOT = Path(__file__).parents[1]

# No test asserts a duration, because the machine may be busy. CI uses the same examples in every run.
hypothesis.settings.register_profile(
    "caly",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("caly")


def pytest_configure(config):
    """Fails a run of all tests at its start, and not after minutes, if Redis is missing."""
    # A run in the background inherits an ignored SIGINT and would pass it on to every command that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.args_source is config.ArgsSource.TESTPATHS and not config.option.markexpr:
        try:
            redis_program()
        except RedisUnavailable as missing:
            raise pytest.UsageError(str(missing)) from missing


def pytest_collection_modifyitems(items):
    for item in items:
        if {"server_url", "migrated_data"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.postgres)
        if "redis_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.redis)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of the server's own database. Its data are in memory if possible: copies are then ten times faster."""
    memory = Path("/dev/shm")  # noqa: S108 — the server uses a new folder in it
    with (
        TemporaryDirectory(prefix="caly-", dir=memory if memory.is_dir() else None) as folder,
        server.running(Path(folder) / "data", durable=False, max_connections=200) as url,
    ):
        yield url


@pytest.fixture(scope="session")
def run_alembic():
    """`run_alembic(url, *arguments)` runs Alembic in a new process, as operators do, and returns its output."""

    def run(url: str, *arguments: str) -> str:
        environment = {**os.environ, "APP_ENV": "testing", "DATABASE_URL": url}
        command = [sys.executable, "-m", "alembic", "-c", "setup.cfg", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def template(server_url, run_alembic) -> str:
    """The name of a database with all tables that serves as template."""
    _execute(server_url, "CREATE DATABASE migrated")
    run_alembic(_renamed(server_url, "migrated"), "upgrade", "head")
    return "migrated"


@pytest.fixture(scope="session")
def migrated_data(tmp_path_factory, run_alembic) -> Path:
    """The data folder of a stopped server with all tables. Tests that damage their server start a copy of it."""
    data = tmp_path_factory.mktemp("migrated") / "data"
    with server.running(data, durable=False) as url:
        run_alembic(url, "upgrade", "head")
    return data


@pytest.fixture
def postgres(request, migrated_data, tmp_path) -> Iterator[PostgresServer]:
    """A running PostgreSQL with all tables, for one test. Indirect parametrization sets its options."""
    yield from _postgres(migrated_data, tmp_path, **getattr(request, "param", {}))


@pytest.fixture(scope="module")
def module_postgres(migrated_data, tmp_path_factory) -> Iterator[PostgresServer]:
    """Like `postgres`, shared by the tests of a module. It has few connections, so that a test can use all of them."""
    yield from _postgres(migrated_data, tmp_path_factory.mktemp("postgres"), max_connections=20)


def _postgres(migrated_data: Path, folder: Path, **options: Any) -> Iterator[PostgresServer]:
    data = folder / "postgres"
    shutil.copytree(migrated_data, data)
    server = PostgresServer(data, **options)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def empty_database_url(server_url) -> Iterator[str]:
    """A database without tables."""
    yield from _database(server_url, "template1")


@pytest.fixture
def database_url(server_url, template) -> Iterator[str]:
    """A database with all tables and no rows. It is dropped after the test."""
    yield from _database(server_url, template)


@pytest.fixture(scope="module")
def front() -> str:
    """The proxy between a test and the server: "nothing", unless a test or a module selects "nginx"."""
    return "nothing"


@pytest.fixture(scope="module")
def module_database_url(server_url, template, front) -> Iterator[str]:
    """Like `database_url`, shared by the tests of a module, with a separate database for each `front`."""
    yield from _database(server_url, template)


def _database(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield _renamed(server_url, name)
    _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _renamed(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _execute(url: str, statement: str) -> None:
    connection = _connect(url)
    connection.cursor().execute(statement)
    connection.close()


def _connect(url: str):
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg2.connect(plain)
    connection.autocommit = True
    return connection


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path, monkeypatch):
    """Runs each test in its own folder, so that files under relative paths are not shared."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def redis_server(tmp_path) -> Iterator[RedisServer]:
    """A running Redis for one test."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.wake()
    server.stop()


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    with ExitStack() as running:

        def start(directory: Path | None) -> Worker:
            worker = Worker(directory)
            running.callback(worker.kill)
            return worker

        yield start


@pytest.fixture
def advisories(monkeypatch) -> Iterator[Advisories]:
    """The contents of a local advisory service. pip uses only the package index beside it."""
    with advisory_service() as known:
        for name, value in known.index().items():
            monkeypatch.setenv(name, value)
        yield known


@pytest.fixture
def settings(database_url) -> Settings:
    return Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": database_url})


@pytest.fixture
def services(settings) -> Iterator[wiring.Services]:
    """The services as in production, without running background tasks."""
    parts = wiring.build(settings)
    yield parts
    parts.close()


@pytest.fixture
def services_without_database() -> Iterator[wiring.Services]:
    """The services with the URL of a PostgreSQL that does not listen."""
    nowhere = "postgresql://caly@127.0.0.1:1/caly"
    parts = wiring.build(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": nowhere}))
    yield parts
    parts.close()


@pytest.fixture
def app(settings):
    application = create_app(settings)
    yield application
    application.extensions["caly"].close()


@pytest.fixture
def client(app):
    """An HTTP client in this process."""
    return app.test_client()


@pytest.fixture
def query(database_url):
    """`query(sql, *values)` returns the rows, read through a connection outside the application."""
    yield from _querying(database_url)


@pytest.fixture
def query_empty(empty_database_url):
    """Like `query`, for the database that begins without tables."""
    yield from _querying(empty_database_url)


@pytest.fixture(scope="module")
def module_query(module_database_url):
    """Like `query`, shared by the tests of a module."""
    yield from _querying(module_database_url)


def _querying(url: str):
    connection = _connect(url)

    def run(sql: str, *values: object) -> list[tuple]:
        with connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    yield run
    connection.close()
