import os
import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from calyapp import clock
from calyapp.audit.backups import LatestBackups
from calyapp.config import AppEnv, WebhookAuth
from calyapp.encryption import Census
from calyapp.errors import DatabaseAway, DatabaseError
from calyapp.health import service_checks
from calyapp.health.checks import Health
from calyapp.health.service_checks import LastScan
from calyapp.spool.journal import Journal, Lane

HOUR = timedelta(hours=1)


def test_the_migrations_are_degraded_when_the_database_is_behind(services, query):
    query("UPDATE alembic_version SET version_num = '0000'")

    finding = service_checks.check_migrations(services.database.records)

    assert (finding.status, finding.facts["current"]) == (Health.DEGRADED, "0000")


def test_the_environment_is_degraded_when_production_requires_no_webhook_key(settings):
    lax = replace(settings, app_env=AppEnv.PRODUCTION, webhook_auth=WebhookAuth.OPTIONAL)

    assert service_checks.check_environment(lax).status is Health.DEGRADED
    assert service_checks.check_environment(replace(lax, webhook_auth=WebhookAuth.REQUIRED)).status is Health.HEALTHY


def test_the_pool_is_degraded_while_deliveries_find_no_connection(services):
    pool = services.database.ingest

    held = [pool.engine.connect() for _ in range(pool.limits.max_connections)]
    exhausted = service_checks.check_pools(services.database)
    for connection in held:
        connection.close()

    assert (exhausted.status, exhausted.facts["ingest"]["inUse"]) == (Health.DEGRADED, pool.limits.max_connections)
    assert service_checks.check_pools(services.database).status is Health.HEALTHY


def test_the_memory_is_reported_in_bytes():
    facts = service_checks.check_memory().facts

    assert 0 < facts["residentBytes"] < facts["availableBytes"]


def test_the_encryption_is_degraded_by_a_secret_that_no_key_decrypts():
    readable, unreadable = Census(3, 1, 0), Census(3, 1, 1)

    assert service_checks.check_encryption(lambda: readable).status is Health.HEALTHY
    finding = service_checks.check_encryption(lambda: unreadable)
    assert (finding.status, finding.facts) == (
        Health.DEGRADED,
        {"secrets": 3, "underPreviousKey": 1, "unreadable": 1},
    )


@pytest.mark.parametrize("error", [DatabaseAway, DatabaseError])
def test_the_encryption_is_degraded_when_the_database_cannot_be_read(error):
    def take_census():
        raise error

    assert service_checks.check_encryption(take_census).status is Health.DEGRADED


class TestCheckSpool:
    @pytest.fixture
    def journal(self, tmp_path):
        journal = Journal(tmp_path / "spool", 64 * 1024 * 1024)
        yield journal
        journal.close()

    @pytest.mark.parametrize(
        ("lane", "seconds", "health"),
        [
            (Lane.AWAY, 50, Health.HEALTHY),
            (Lane.AWAY, 70, Health.DEGRADED),
            (Lane.DEFERRED, 70, Health.HEALTHY),
            (Lane.DEFERRED, 1_000, Health.DEGRADED),
        ],
    )
    def test_is_degraded_by_a_delivery_that_waits_too_long(self, journal, lane, seconds, health):
        arrived_at = clock.now() - timedelta(seconds=seconds)
        journal.append(b"{}", client_id=UUID(int=1), lane=lane, arrived_at=arrived_at)

        finding = service_checks.check_spool(journal)

        assert finding.status is health
        assert bool(finding.message) == bool(finding.remedy) == (health is Health.DEGRADED)

    def test_names_every_problem(self, journal, tmp_path):
        now = clock.now()
        journal.append(b"{}", client_id=None, lane=Lane.AWAY, arrived_at=now - timedelta(hours=1))
        journal.append(b"{}", client_id=None, lane=Lane.AWAY, arrived_at=now, reason="SQLSTATE 22003")
        (tmp_path / "spool" / "damaged-20261122T090000.db").touch(0o600)

        message = service_checks.check_spool(journal).message

        assert [part.partition(":")[0] for part in message.split("; ")] == [
            "deliveries waiting",
            "deliveries in quarantine",
            "damaged journals set aside",
        ]


class TestCheckDisk:
    def test_is_degraded_where_the_spool_cannot_grow(self, tmp_path):
        free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize

        assert service_checks.check_disk(tmp_path, free * 2).status is Health.DEGRADED
        assert service_checks.check_disk(tmp_path, 1).status is Health.HEALTHY

    def test_works_before_the_folder_exists(self, tmp_path):
        finding = service_checks.check_disk(tmp_path / "var" / "spool", 16)

        assert (finding.status, finding.facts["neededBytes"]) == (Health.HEALTHY, 16)
        assert finding.facts["freeBytes"] > 0

    def test_is_degraded_where_the_folder_cannot_be_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "statvfs", lambda _path: (_ for _ in ()).throw(PermissionError))

        assert service_checks.check_disk(tmp_path, 1).status is Health.DEGRADED


class TestCheckBackup:
    def finding(self, *, is_required: bool = True, **moments: timedelta):
        times = {name: clock.now() - age for name, age in moments.items()}
        failure = {"failure": "pg_dump failed with exit code 1"} if "failed_at" in times else {}
        return service_checks.check_backup(lambda: LatestBackups(**times, **failure), is_required=is_required)

    @pytest.mark.parametrize(
        ("moments", "reason"),
        [
            ({"completed_at": HOUR}, ""),
            ({"started_at": 2 * HOUR, "completed_at": HOUR}, ""),
            ({"started_at": HOUR, "completed_at": 25 * HOUR}, ""),
            ({"failed_at": 25 * HOUR, "completed_at": HOUR}, ""),
            ({"started_at": 2 * HOUR, "failed_at": HOUR, "completed_at": 25 * HOUR}, "the last backup failed: pg_dump"),
            ({"started_at": 7 * HOUR, "completed_at": 25 * HOUR}, "the backup that began at .* did not end"),
            ({"started_at": 73 * HOUR, "completed_at": 72 * HOUR}, "the last complete backup is 3 days old"),
            ({}, "there is no complete backup from"),
        ],
    )
    def test_says_what_is_wrong_and_what_to_do(self, moments, reason):
        finding = self.finding(**moments)

        assert re.match(reason, finding.message)
        assert bool(finding.message) == bool(finding.remedy) == bool(reason)
        assert finding.status is (Health.DEGRADED if reason else Health.HEALTHY)

    def test_needs_none_outside_production_but_reports_one_that_failed(self):
        never = self.finding(is_required=False)

        assert (never.status, never.status_text) == (Health.HEALTHY, "not backed up")
        assert self.finding(is_required=False, failed_at=HOUR).status is Health.DEGRADED

    def test_is_degraded_where_the_database_is_away(self):
        def away():
            raise DatabaseAway

        assert service_checks.check_backup(away, is_required=True).status is Health.DEGRADED


class TestCheckScan:
    @pytest.mark.parametrize(
        ("status", "days", "health"),
        [
            ("PASSED", 0, Health.HEALTHY),
            ("PASSED", 2, Health.HEALTHY),
            ("PASSED", 4, Health.DEGRADED),
            ("WARNING", 0, Health.DEGRADED),
            ("INCOMPLETE", 0, Health.DEGRADED),
            ("FAILED", 0, Health.DEGRADED),
        ],
    )
    def test_reports_the_last_status_and_is_never_unhealthy(self, status, days, health):
        scanned_at = clock.now() - timedelta(days=days)

        finding = service_checks.check_scan(lambda: LastScan(status, scanned_at, {"critical": 0}))

        assert finding.status is health
        assert finding.facts == {"result": status, "scannedAt": clock.iso(scanned_at), "findings": {"critical": 0}}

    def test_reports_a_missing_scan_as_healthy(self):
        finding = service_checks.check_scan(lambda: None)

        assert (finding.status, finding.status_text) == (Health.HEALTHY, "not scanned")
        assert "caly-scan" in finding.remedy

    @pytest.mark.parametrize("error", [ValueError, PermissionError])
    def test_is_degraded_where_the_report_cannot_be_read(self, error):
        def raises():
            raise error

        assert service_checks.check_scan(raises).status is Health.DEGRADED
