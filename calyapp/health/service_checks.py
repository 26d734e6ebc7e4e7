"""The health checks of the service. Each one checks one thing, and says what it found and what to do about it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from calyapp import clock, metrics
from calyapp.audit.backups import LatestBackups
from calyapp.config import AppEnv, Settings, WebhookAuth
from calyapp.db import migrations, partitions
from calyapp.db.engine import Database, Pool
from calyapp.encryption import Census
from calyapp.errors import DatabaseAway, DatabaseError
from calyapp.health.checks import Check, Finding, Health
from calyapp.spool.files import Folder
from calyapp.spool.journal import Journal, JournalStatus, Lane

MIGRATE = "Run `caly alembic upgrade head`; in development `make migrate`."
_MIN_MEMORY_SHARE = 0.05
_MAX_SCAN_AGE = timedelta(days=3)
_MAX_BACKUP_AGE = timedelta(days=2)
# Deliveries over a client's limit are recorded after all others, so they may wait longer.
_MAX_WAIT_SECONDS = {Lane.AWAY: 60.0, Lane.DEFERRED: 900.0}
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LastScan:
    """The status and time of a vulnerability scan, and the number of vulnerabilities by severity."""

    status: str
    scanned_at: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of the spool. It is serious if deliveries are late or can be lost."""

    message: str
    remedy: str
    is_serious: bool


def all_checks(
    settings: Settings,
    database: Database,
    journal: Journal,
    census: Callable[[], Census],
    last_scan: Callable[[], LastScan | None],
    latest_backups: Callable[[], LatestBackups],
) -> Mapping[str, Check]:
    """Returns the checks by the names under which `/health/detailed` reports them."""
    is_production = settings.app_env is AppEnv.PRODUCTION
    return {
        "database": lambda: check_database(database.ingest, journal),
        "spool": lambda: check_spool(journal),
        "environment": lambda: check_environment(settings),
        "migrations": lambda: check_migrations(database.ingest),
        "encryption": lambda: check_encryption(census),
        "memory": check_memory,
        "disk": lambda: check_disk(settings.spool_dir, journal.max_bytes),
        "pool": lambda: check_pools(database),
        "backup": lambda: check_backup(latest_backups, is_required=is_production),
        "vulnerability scan": lambda: check_scan(last_scan),
    }


def check_database(pool: Pool, journal: Journal) -> Finding:
    """Checks that PostgreSQL answers and has the partitions of this month and the next.

    While it is away or has no tables, the status is degraded as long as the spool takes the deliveries.
    """
    try:
        with pool.connection() as connection:
            missing = partitions.missing(connection, clock.now())
    except DatabaseError as error:
        has_room = journal.has_room()
        status = Health.DEGRADED if has_room else Health.UNHEALTHY
        consequence = "deliveries go to the spool" if has_room else "the spool takes no deliveries either"
        if isinstance(error, DatabaseAway):
            return Finding(
                status,
                f"PostgreSQL cannot be reached or does not record deliveries; {consequence}",
                "Run `flask caly doctor` to see why, and read the log of PostgreSQL.",
                {"reachable": False},
            )
        return Finding(
            status, f"PostgreSQL answers with an error; {consequence}", f"Its tables may be missing. {MIGRATE}"
        )
    if missing:
        return Finding(
            Health.DEGRADED,
            f"the audit log has no partition {', '.join(missing)}",
            "Run `flask caly partitions`.",
            {"missingPartitions": missing},
        )
    return Finding(Health.HEALTHY)


def check_spool(journal: Journal) -> Finding:
    """Checks that the spool takes deliveries, that none is in quarantine, and that none waits too long."""
    if not journal.has_room():
        return Finding(
            Health.DEGRADED,
            "the spool takes no deliveries: it is full, or its folder is not writable",
            "Free space on its disk or raise SPOOL_MAX_MB, and let the service write to SPOOL_DIR.",
        )
    status = journal.status()
    facts = {
        "depth": status.depth,
        "deferred": status.deferred,
        "oldestSeconds": round(status.oldest_seconds(clock.now()), 1),
        "quarantined": status.quarantined,
        "bytes": status.bytes,
        "setAside": status.damaged_files,
    }
    problems = list(spool_problems(status, clock.now()))
    if problems:
        reasons = "; ".join(problem.message for problem in problems)
        return Finding(Health.DEGRADED, reasons, " ".join(problem.remedy for problem in problems), facts)
    return Finding(Health.HEALTHY, facts=facts)


def spool_problems(status: JournalStatus, now: datetime) -> Iterator[Problem]:
    """Yields the problems of the deliveries in the spool."""
    if status.oldest_seconds(now, Lane.AWAY) > _MAX_WAIT_SECONDS[Lane.AWAY]:
        yield Problem(
            f"deliveries waiting: {status.depth}, the oldest for {status.oldest_seconds(now, Lane.AWAY):.0f} s",
            "If PostgreSQL is away, start it. Otherwise check that the service runs, read its log, "
            "then run `flask caly spool replay`.",
            is_serious=True,
        )
    if status.oldest_seconds(now, Lane.DEFERRED) > _MAX_WAIT_SECONDS[Lane.DEFERRED]:
        yield Problem(
            f"deliveries over the limit waiting: {status.deferred}, "
            f"the oldest for {status.oldest_seconds(now, Lane.DEFERRED):.0f} s",
            "RATE_LIMIT_EXCEEDED in the audit log names the client. Let the client send less, or raise "
            "RATELIMIT_WEBHOOK.",
            is_serious=True,
        )
    if status.quarantined:
        yield Problem(
            f"deliveries in quarantine: {status.quarantined}",
            "See `flask caly spool quarantine list`, correct the cause, run `flask caly spool quarantine retry --all`.",
            is_serious=False,
        )
    if status.damaged_files:
        yield Problem(
            f"damaged journals set aside: {status.damaged_files}",
            "All that could be read was saved. Copy damaged-*.db from SPOOL_DIR to another place, then remove them.",
            is_serious=False,
        )


def check_environment(settings: Settings) -> Finding:
    """Checks for settings that are allowed but unsafe in production."""
    facts = {"appEnv": settings.app_env.value, "webhookAuth": settings.webhook_auth.value}
    lax = settings.app_env is AppEnv.PRODUCTION and settings.webhook_auth is WebhookAuth.OPTIONAL
    if lax:
        return Finding(
            Health.DEGRADED,
            "production accepts deliveries without a webhook key",
            "Register with Exotel the URLs that `flask caly clients show CLIENT --with-key` prints, then set "
            "WEBHOOK_AUTH=required.",
            facts,
        )
    return Finding(Health.HEALTHY, facts=facts)


def check_migrations(pool: Pool) -> Finding:
    """Checks that the database is at the revision that this code needs. Raises `DatabaseError` other than away."""
    try:
        with pool.connection() as connection:
            current, head = migrations.current(connection), migrations.head()
    except DatabaseAway:
        return Finding(Health.DEGRADED, "the database is away", _SEE_DATABASE)
    facts = {"current": current, "head": head}
    if current == head:
        return Finding(Health.HEALTHY, facts=facts)
    if current is None or migrations.is_known(current):
        return Finding(Health.DEGRADED, f"the database is at {current}, and this code needs {head}", MIGRATE, facts)
    return Finding(
        Health.DEGRADED,
        f"the database is at {current}, which is newer than this code",
        "This is correct after a rollback. Otherwise update Caly.",
        facts,
    )


def check_encryption(take_census: Callable[[], Census]) -> Finding:
    """Checks that every stored secret can be decrypted, with the current or the previous key."""
    try:
        census = take_census()
    except DatabaseError:  # away, or without its tables: calls are answered anyway
        return Finding(Health.DEGRADED, "the database cannot be read", _SEE_DATABASE)
    facts = {"secrets": census.sealed, "underPreviousKey": census.under_previous, "unreadable": census.unreadable}
    if census.unreadable:
        return Finding(
            Health.DEGRADED,
            f"secrets that no key decrypts: {census.unreadable}",
            "Set ENCRYPTION_KEY_PREVIOUS to the key under which they were encrypted.",
            facts,
        )
    return Finding(Health.HEALTHY, facts=facts)


def check_memory() -> Finding:
    """Checks that the machine has free memory, and reports what all workers use."""
    kibibytes = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE))
    available, total = int(kibibytes["MemAvailable"]), int(kibibytes["MemTotal"])
    facts = {"residentBytes": metrics.resident_bytes(), "availableBytes": available * 1024}
    if available < total * _MIN_MEMORY_SHARE:
        return Finding(
            Health.DEGRADED,
            f"the machine has {available // 1024} MiB of memory left",
            "Stop other programs there, lower WEB_CONCURRENCY, or add memory.",
            facts,
        )
    return Finding(Health.HEALTHY, facts=facts)


def check_disk(folder: Path, max_bytes: int) -> Finding:
    """Checks that the spool in this folder can grow to its maximum size, in bytes."""
    try:
        spool = Folder(folder)
        needed, free = max(0, max_bytes - spool.bytes()), spool.free_bytes()
    except OSError:
        return Finding(
            Health.DEGRADED, "SPOOL_DIR cannot be read", "Give the user who runs the service access to SPOOL_DIR."
        )
    facts = {"freeBytes": free, "neededBytes": needed}
    if free < needed:
        return Finding(
            Health.DEGRADED,
            f"{free // _MIB} MiB free, but the spool may grow by {needed // _MIB} MiB",
            "Free space on the disk of SPOOL_DIR, or lower SPOOL_MAX_MB.",
            facts,
        )
    return Finding(Health.HEALTHY, facts=facts)


def check_pools(database: Database) -> Finding:
    """Checks that deliveries find a free database connection in this worker."""
    ingest, records = database.ingest.statistics(), database.records.statistics()
    facts = {
        "ingest": {"most": ingest.max_connections, "open": ingest.open, "inUse": ingest.in_use},
        "records": {"most": records.max_connections, "open": records.open, "inUse": records.in_use},
    }
    if ingest.in_use >= ingest.max_connections:
        return Finding(
            Health.DEGRADED,
            "every connection for deliveries is in use",
            "Find out which statements are slow (caly_db_statement_seconds), or raise DB_POOL_MAX.",
            facts,
        )
    return Finding(Health.HEALTHY, facts=facts)


def check_backup(latest_backups: Callable[[], LatestBackups], *, is_required: bool) -> Finding:
    """Checks that the last backup is complete and recent. Never unhealthy, because calls are answered anyway."""
    try:
        latest = latest_backups()
    except DatabaseError:
        return Finding(Health.DEGRADED, "the database cannot be read", _SEE_DATABASE)
    moments = {"startedAt": latest.started_at, "completedAt": latest.completed_at, "failedAt": latest.failed_at}
    facts = {name: clock.iso(moment) if moment else None for name, moment in moments.items()}
    if latest.has_failed():
        reason = f"the last backup failed: {latest.failure}" if latest.failure else "the last backup failed"
    elif latest.was_interrupted(clock.now()):
        reason = f"the backup that began at {facts['startedAt']} did not end"
    elif latest.completed_at is None:
        if not is_required:
            return Finding(Health.HEALTHY, facts=facts, status_text="not backed up")
        reason = "there is no complete backup from the last 30 days"
    elif clock.now() - latest.completed_at > _MAX_BACKUP_AGE:
        reason = f"the last complete backup is {(clock.now() - latest.completed_at).days} days old"
    else:
        return Finding(Health.HEALTHY, facts=facts)
    return Finding(Health.DEGRADED, reason, _BACK_UP, facts)


def check_scan(last_scan: Callable[[], LastScan | None]) -> Finding:
    """Checks that the last vulnerability scan is recent, complete and passed. Never unhealthy, as for the backup."""
    try:
        last = last_scan()
    except (OSError, ValueError):
        return Finding(
            Health.DEGRADED,
            "the report of the last vulnerability scan cannot be read",
            "Let the service read SCAN_DIR, or run `flask caly scan`.",
        )
    if last is None:
        return Finding(Health.HEALTHY, remedy=_SCAN, status_text="not scanned")
    facts = {"result": last.status, "scannedAt": clock.iso(last.scanned_at), "findings": dict(last.counts)}
    age = clock.now() - last.scanned_at
    if age > _MAX_SCAN_AGE:
        return Finding(Health.DEGRADED, f"the last vulnerability scan is {age.days} days old", _SCAN, facts)
    if last.status != "PASSED":
        return Finding(
            Health.DEGRADED,
            f"the last vulnerability scan is {last.status}",
            "Run `flask caly scan`. It says what to upgrade, or what it could not check.",
            facts,
        )
    return Finding(Health.HEALTHY, facts=facts)


_SEE_DATABASE = "See the `database` check."
_BACK_UP = (
    "Read `journalctl -u caly-backup`, then `systemctl start caly-backup` (without systemd: `flask caly backup DIR`)."
)
_SCAN = "Run `systemctl start caly-scan` (without systemd: `flask caly scan`). Check that caly-scan.timer is enabled."
