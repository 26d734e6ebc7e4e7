"""The things whose health is asked for: each looks at one and says what it found."""

import re
from collections.abc import Mapping
from pathlib import Path

from calyapp import clock, metrics
from calyapp.config import AppEnv, Settings, WebhookAuth
from calyapp.db import migrations, partitions
from calyapp.db.engine import Database, Pool
from calyapp.health.checks import Check, Finding, Health

_LEAST_MEMORY_SHARE = 0.05


def all_probes(settings: Settings, database: Database) -> Mapping[str, Check]:
    """By the names under which they are reported."""
    return {
        "database": lambda: probe_database(database.records),
        "environment": lambda: probe_environment(settings),
        "migrations": lambda: probe_migrations(database.records),
        "memory": probe_memory,
        "pool": lambda: probe_pools(database),
    }


def probe_database(pool: Pool) -> Finding:
    """Reachable, and with a place for the audit entries of this month; warned of a next month without one."""
    now = clock.now()
    with pool.connection() as connection:
        absent = partitions.missing(connection, now)
    if not absent:
        return Finding(Health.HEALTHY)
    status = Health.UNHEALTHY if partitions.name(now) in absent else Health.DEGRADED
    return Finding(status, f"no partition {', '.join(absent)}", {"missingPartitions": absent})


def probe_environment(settings: Settings) -> Finding:
    """Settings that are allowed, but not what production should run with."""
    facts = {"appEnv": settings.app_env.value, "webhookAuth": settings.webhook_auth.value}
    lax = settings.app_env is AppEnv.PRODUCTION and settings.webhook_auth is WebhookAuth.OPTIONAL
    if lax:
        return Finding(Health.DEGRADED, "production takes deliveries without a webhook key", facts)
    return Finding(Health.HEALTHY, facts=facts)


def probe_migrations(pool: Pool) -> Finding:
    """The database is at the revision that this code was written for."""
    with pool.connection() as connection:
        facts = {"current": migrations.current(connection), "head": migrations.head()}
    if facts["current"] != facts["head"]:
        return Finding(Health.DEGRADED, "run `make migrate`", facts)
    return Finding(Health.HEALTHY, facts=facts)


def probe_memory() -> Finding:
    """What all workers hold, and whether the machine has any left."""
    found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE))
    available, total = int(found["MemAvailable"]), int(found["MemTotal"])
    facts = {"residentBytes": metrics.resident_bytes(), "availableBytes": available * 1024}
    if available < total * _LEAST_MEMORY_SHARE:
        return Finding(Health.DEGRADED, "the machine is short of memory", facts)
    return Finding(Health.HEALTHY, facts=facts)


def probe_pools(database: Database) -> Finding:
    """Connections of this worker, and whether deliveries find one."""
    ingest, records = database.ingest.statistics(), database.records.statistics()
    facts = {
        "ingest": {"most": ingest.most, "open": ingest.open, "inUse": ingest.in_use},
        "records": {"most": records.most, "open": records.open, "inUse": records.in_use},
    }
    if ingest.in_use >= ingest.most:
        return Finding(Health.DEGRADED, "every connection for deliveries is in use", facts)
    return Finding(Health.HEALTHY, facts=facts)
