from dataclasses import replace
from datetime import timedelta

import pytest

from calyapp import clock
from calyapp.config import AppEnv, WebhookAuth
from calyapp.encryption import Census
from calyapp.errors import DatabaseAway, DatabaseError
from calyapp.health import probes
from calyapp.health.checks import Health
from calyapp.health.probes import LastScan


def test_the_migrations_are_degraded_when_the_database_is_behind(services, query):
    query("UPDATE alembic_version SET version_num = '0000'")

    finding = probes.probe_migrations(services.database.records)

    assert (finding.status, finding.facts["current"]) == (Health.DEGRADED, "0000")


def test_the_environment_is_degraded_when_production_asks_for_no_key(settings):
    lax = replace(settings, app_env=AppEnv.PRODUCTION, webhook_auth=WebhookAuth.OPTIONAL)

    assert probes.probe_environment(lax).status is Health.DEGRADED
    assert probes.probe_environment(replace(lax, webhook_auth=WebhookAuth.REQUIRED)).status is Health.HEALTHY


def test_the_pool_is_degraded_while_deliveries_find_no_connection(services):
    pool = services.database.ingest

    held = [pool.engine.connect() for _ in range(pool.limits.most)]
    exhausted = probes.probe_pools(services.database)
    for connection in held:
        connection.close()

    assert (exhausted.status, exhausted.facts["ingest"]["inUse"]) == (Health.DEGRADED, pool.limits.most)
    assert probes.probe_pools(services.database).status is Health.HEALTHY


def test_the_memory_is_told_in_bytes():
    facts = probes.probe_memory().facts

    assert 0 < facts["residentBytes"] < facts["availableBytes"]


def test_the_encryption_is_degraded_by_a_secret_that_no_key_opens():
    fine, lost = Census(3, 1, 0), Census(3, 1, 1)

    assert probes.probe_encryption(lambda: fine).status is Health.HEALTHY
    finding = probes.probe_encryption(lambda: lost)
    assert (finding.status, finding.facts) == (
        Health.DEGRADED,
        {"secrets": 3, "underPreviousKey": 1, "unreadable": 1},
    )


@pytest.mark.parametrize("error", [DatabaseAway, DatabaseError])
def test_the_encryption_is_degraded_at_most_where_the_database_does_not_tell(error):
    def take_census():
        raise error

    assert probes.probe_encryption(take_census).status is Health.DEGRADED


class TestProbeScan:
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
    def test_tells_the_last_verdict_and_is_never_unhealthy(self, status, days, health):
        scanned_at = clock.now() - timedelta(days=days)

        finding = probes.probe_scan(lambda: LastScan(status, scanned_at, {"critical": 0}))

        assert finding.status is health
        assert finding.facts == {"result": status, "scannedAt": clock.iso(scanned_at), "findings": {"critical": 0}}

    def test_is_degraded_where_nobody_has_looked(self):
        assert probes.probe_scan(lambda: None).status is Health.DEGRADED

    @pytest.mark.parametrize("error", [ValueError, PermissionError])
    def test_is_degraded_where_the_report_cannot_be_read(self, error):
        def unreadable():
            raise error

        assert probes.probe_scan(unreadable).status is Health.DEGRADED
