from dataclasses import replace

from calyapp.config import AppEnv, WebhookAuth
from calyapp.encryption import Census
from calyapp.health import probes
from calyapp.health.checks import Health


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
