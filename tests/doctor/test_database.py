from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pgbouncer_server import PgBouncerServer

from calyapp import services as wiring
from calyapp.config import Settings
from calyapp.db.inspection import Server
from calyapp.doctor import database
from calyapp.doctor.diagnosis import NamedCheck, Verdict, examine

GOOD = Server(
    version=17,
    is_local=False,
    is_encrypted=True,
    is_verified=True,
    is_standby=False,
    is_read_only=False,
    encoding="UTF8",
    not_durable=(),
    connections=97,
    is_superuser=False,
    seconds_ahead=0.1,
    is_pooled=False,
)


def diagnosed(check):
    (diagnosis,) = examine([NamedCheck("it", check)])
    return diagnosis


class TestConnection:
    @pytest.mark.parametrize(
        ("server", "verdict"),
        [
            (GOOD, Verdict.OK),
            (replace(GOOD, is_local=True, is_encrypted=False, is_verified=False), Verdict.OK),
            (replace(GOOD, is_encrypted=False), Verdict.WARN),
            (replace(GOOD, is_verified=False), Verdict.WARN),
        ],
    )
    def test_to_another_host_requires_verified_tls(self, server, verdict):
        assert diagnosed(lambda: database.check_connection(lambda: server)).verdict is verdict


class TestServer:
    @pytest.mark.parametrize(
        ("change", "check"),
        [
            ({"version": 14}, database.check_version),
            ({"version": 19}, database.check_version),
            ({"encoding": "SQL_ASCII"}, database.check_version),
            ({"is_standby": True}, database.check_writable),
            ({"is_read_only": True}, database.check_writable),
            ({"not_durable": ("fsync",)}, database.check_durability),
            ({"not_durable": ("full_page_writes", "synchronous_commit")}, database.check_durability),
        ],
    )
    def test_that_is_unsuitable_fails(self, change, check):
        found = diagnosed(lambda: check(replace(GOOD, **change)))

        assert found.verdict is Verdict.FAIL
        assert found.remedy
        assert diagnosed(lambda: check(GOOD)).verdict is Verdict.OK


class TestConnections:
    @pytest.mark.parametrize(("workers", "verdict"), [(4, Verdict.OK), (5, Verdict.FAIL)])
    def test_must_suffice_for_all_workers(self, workers, verdict):
        settings = replace(Settings.from_env({"APP_ENV": "testing"}), web_concurrency=workers, db_pool_max=20)

        assert diagnosed(lambda: database.check_connections(GOOD, settings)).verdict is verdict


class TestClock:
    @pytest.mark.parametrize(
        ("ahead", "verdict"),
        [
            (1.9, Verdict.OK),
            (-1.9, Verdict.OK),
            (2.1, Verdict.WARN),
            (-2.1, Verdict.WARN),
            (60, Verdict.WARN),
            (61, Verdict.FAIL),
            (-61, Verdict.FAIL),
        ],
    )
    def test_may_differ_by_two_seconds(self, ahead, verdict):
        assert diagnosed(lambda: database.check_clock(ahead)).verdict is verdict

    @pytest.mark.parametrize(("ahead", "words"), [(90, "90 s ahead of"), (-90, "90 s behind")])
    def test_that_differs_is_reported_with_its_direction(self, ahead, words):
        assert words in diagnosed(lambda: database.check_clock(ahead)).found


class TestChecks:
    def test_of_a_migrated_database_report_version_and_role(self, settings, services):
        found = {one.check: one for one in examine(database.checks(settings, services.database.ingest))}

        assert found["database"].found == "reachable on this host"
        assert found["migrations"].verdict is Verdict.OK
        assert found["partitions"].verdict is Verdict.OK
        assert found["database role"].verdict is Verdict.WARN
        assert "superuser" in found["database role"].found

    def test_of_a_database_newer_than_the_code_warn_and_continue(self, settings, services, query):
        query("UPDATE alembic_version SET version_num = '9999'")

        found = {one.check: one for one in examine(database.checks(settings, services.database.ingest))}

        assert (found["migrations"].verdict, found["partitions"].verdict) == (Verdict.WARN, Verdict.OK)

    def test_of_an_empty_database_ask_for_migrations(self, empty_database_url):
        settings = Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": empty_database_url})
        services = wiring.build(settings)

        found = {one.check: one for one in examine(database.checks(settings, services.database.ingest))}
        services.close()

        assert found["migrations"].verdict is Verdict.FAIL
        assert "alembic upgrade head" in found["migrations"].remedy
        assert found["partitions"].remedy == "Correct `migrations` first."


class TestPooler:
    @pytest.fixture
    def pooler(self, database_url):
        with TemporaryDirectory(prefix="caly-", dir="/tmp") as folder:  # the path of a unix socket must be short
            pooler = PgBouncerServer(Path(folder), database_url)
            yield pooler
            pooler.stop()

    @pytest.fixture
    def diagnose(self, pooler):
        """`diagnose(**settings)` returns the diagnoses through a pooler with these settings, by check."""
        built = []

        def diagnose(**options: str):
            pooler.start(**options)
            settings = Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": pooler.url})
            built.append(wiring.build(settings))
            return {one.check: one for one in examine(database.checks(settings, built[-1].database.ingest))}

        yield diagnose
        for services in built:
            services.close()

    def test_is_not_detected_on_a_direct_connection(self, settings, services):
        found = {one.check: one for one in examine(database.checks(settings, services.database.ingest))}

        assert found["database pooler"].verdict is Verdict.OK

    def test_that_rejects_startup_options_is_distinguished_from_a_server_that_is_away(self, diagnose):
        found = diagnose(pool_mode="session")["database"]

        assert found.verdict is Verdict.FAIL
        assert "A pooler in front of PostgreSQL" in found.found
        assert WORKING_OPTIONS in found.remedy

    def test_that_changes_backends_between_statements_fails(self, diagnose):
        found = diagnose(pool_mode="transaction", ignore_startup_parameters="options")["database pooler"]

        assert found.verdict is Verdict.FAIL
        assert "stay on the spool" in found.found
        assert WORKING_OPTIONS in found.remedy

    def test_that_keeps_backends_warns(self, diagnose):
        found = diagnose(pool_mode="session", ignore_startup_parameters="options")["database pooler"]

        assert found.verdict is Verdict.WARN
        assert WORKING_OPTIONS in found.remedy


WORKING_OPTIONS = "pool_mode=session and ignore_startup_parameters=options"
