"""The things whose health is asked for: each looks at one and says what it found."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from calyapp import clock, metrics
from calyapp.config import AppEnv, Settings, WebhookAuth
from calyapp.db import migrations, partitions
from calyapp.db.engine import Database, Pool
from calyapp.encryption import Census
from calyapp.errors import DatabaseAway, DatabaseError
from calyapp.health.checks import Check, Finding, Health
from calyapp.spool.journal import Journal

_LEAST_MEMORY_SHARE = 0.05
_OLDEST_SCAN = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class LastScan:
    """The verdict of a vulnerability scan, when it was, and how many weaknesses of each severity it found."""

    status: str
    scanned_at: datetime
    counts: Mapping[str, int]


def all_probes(
    settings: Settings,
    database: Database,
    journal: Journal,
    census: Callable[[], Census],
    last_scan: Callable[[], LastScan | None],
) -> Mapping[str, Check]:
    """By the names under which they are reported."""
    return {
        "database": lambda: probe_database(database.ingest, journal),
        "spool": lambda: probe_spool(journal),
        "environment": lambda: probe_environment(settings),
        "migrations": lambda: probe_migrations(database.ingest),
        "encryption": lambda: probe_encryption(census),
        "memory": probe_memory,
        "pool": lambda: probe_pools(database),
        "vulnerability scan": lambda: probe_scan(last_scan),
    }


def probe_database(pool: Pool, journal: Journal) -> Finding:
    """Reachable, and with a place for the audit entries of this month and the next.

    Away or without its tables, it costs nothing as long as the spool takes the deliveries.
    """
    try:
        with pool.connection() as connection:
            absent = partitions.missing(connection, clock.now())
    except DatabaseError as error:
        status = Health.DEGRADED if journal.has_room() else Health.UNHEALTHY
        if isinstance(error, DatabaseAway):
            return Finding(status, "the database is away", {"reachable": False})
        return Finding(status, "the database cannot answer: it may lack its tables")
    if absent:
        return Finding(Health.DEGRADED, f"no partition {', '.join(absent)}", {"missingPartitions": absent})
    return Finding(Health.HEALTHY)


def probe_spool(journal: Journal) -> Finding:
    """It takes deliveries, none is in quarantine, and none waits that the database could have."""
    if not journal.has_room():
        return Finding(Health.DEGRADED, "the spool takes no delivery: it is full, or its folder cannot be written")
    status = journal.status()
    facts = {
        "depth": status.depth,
        "oldestSeconds": round(status.oldest_seconds(clock.now()), 1),
        "quarantined": status.quarantined,
        "bytes": status.bytes,
        "setAside": status.set_aside,
    }
    if status.quarantined or status.set_aside:
        return Finding(Health.DEGRADED, "see `flask caly spool quarantine list` and SPOOL_DIR", facts)
    return Finding(Health.HEALTHY, facts=facts)


def probe_environment(settings: Settings) -> Finding:
    """Settings that are allowed, but not what production should run with."""
    facts = {"appEnv": settings.app_env.value, "webhookAuth": settings.webhook_auth.value}
    lax = settings.app_env is AppEnv.PRODUCTION and settings.webhook_auth is WebhookAuth.OPTIONAL
    if lax:
        return Finding(Health.DEGRADED, "production takes deliveries without a webhook key", facts)
    return Finding(Health.HEALTHY, facts=facts)


def probe_migrations(pool: Pool) -> Finding:
    """The database is at the revision that this code was written for."""
    try:
        with pool.connection() as connection:
            facts = {"current": migrations.current(connection), "head": migrations.head()}
    except DatabaseAway:
        return Finding(Health.DEGRADED, "the database is away")
    if facts["current"] != facts["head"]:
        return Finding(Health.DEGRADED, "database and code are of different releases: see `flask caly doctor`", facts)
    return Finding(Health.HEALTHY, facts=facts)


def probe_encryption(take_census: Callable[[], Census]) -> Finding:
    """Every secret at rest can be read, under the key in use or the one before."""
    try:
        census = take_census()
    except DatabaseError:  # away, or of another release: calls are answered all the same
        return Finding(Health.DEGRADED, "the database does not tell")
    facts = {"secrets": census.sealed, "underPreviousKey": census.under_previous, "unreadable": census.unreadable}
    if census.unreadable:
        return Finding(Health.DEGRADED, "secrets under another key: set ENCRYPTION_KEY_PREVIOUS to it", facts)
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


def probe_scan(last_scan: Callable[[], LastScan | None]) -> Finding:
    """Somebody looked lately, at everything, and found nothing urgent. Never unhealthy: calls are answered anyway."""
    try:
        last = last_scan()
    except (OSError, ValueError):
        return Finding(Health.DEGRADED, "the report of the last vulnerability scan cannot be read: see SCAN_DIR")
    if last is None:
        return Finding(Health.DEGRADED, "nobody has looked for vulnerabilities: see `flask caly scan`")
    facts = {"result": last.status, "scannedAt": clock.iso(last.scanned_at), "findings": dict(last.counts)}
    if clock.now() - last.scanned_at > _OLDEST_SCAN:
        return Finding(Health.DEGRADED, "the last vulnerability scan is more than three days old", facts)
    if last.status != "PASSED":
        return Finding(Health.DEGRADED, f"the last vulnerability scan is {last.status}: see `flask caly scan`", facts)
    return Finding(Health.HEALTHY, facts=facts)
