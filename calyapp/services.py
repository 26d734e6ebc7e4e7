"""Wires the parts of one process, and closes them. Knows no HTTP."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from calyapp import clock
from calyapp.access.authentication import Authentication
from calyapp.access.key_store import ApiKeyStore
from calyapp.access.passwords import Passwords
from calyapp.access.session_store import SessionStore
from calyapp.access.user_store import UserStore
from calyapp.audit import backups
from calyapp.audit.count_store import EventCounts
from calyapp.audit.reader import EventReader
from calyapp.audit.throttle import INTERVAL_SECONDS, ThrottledAuditLog
from calyapp.calls.degraded_mode import DegradedMode
from calyapp.calls.reader import CallReader
from calyapp.calls.receiver import Receiver
from calyapp.calls.recorder import Recorder
from calyapp.calls.replay import Replay
from calyapp.clients.account_store import ExotelAccountStore
from calyapp.clients.directory import REFRESH_SECONDS, Directory
from calyapp.clients.directory_copy import DirectoryCopy
from calyapp.clients.keys import WebhookKeys
from calyapp.clients.store import ClientStore
from calyapp.config import AppEnv, Settings, WebhookAuth
from calyapp.db import engine, partitions
from calyapp.db.engine import Database
from calyapp.encryption import Encryption
from calyapp.exotel.responses import ExotelResponses
from calyapp.health.checks import Check
from calyapp.health.service_checks import all_checks
from calyapp.periodic import Periodic
from calyapp.spool import gauges
from calyapp.spool.journal import Journal
from calyapp.vulnscan import archive as scan_archive

REPLAY_SECONDS = 0.5
ACCESS_SECONDS = 60.0  # reads of a client's records are audited once in this interval
PROBE_SECONDS = 0.1  # how often the probe checks whether the breaker's pause is over
FORGET_SECONDS = 600.0
FOLD_SECONDS = 10.0  # short, because pending counts are read row by row
PARTITIONS_SECONDS = 600.0  # far more often than needed, so that one failure does not matter
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a process."""

    settings: Settings
    database: Database
    clients: ClientStore
    directory: Directory
    webhook_keys: WebhookKeys
    exotel_accounts: ExotelAccountStore
    users: UserStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    passwords: Passwords
    authentication: Authentication
    receiver: Receiver
    journal: Journal
    replay: Replay
    recorder: Recorder
    answers: ExotelResponses
    throttled_audit_log: ThrottledAuditLog
    access_audit_log: ThrottledAuditLog
    call_reader: CallReader
    event_reader: EventReader
    event_counts: EventCounts
    health_checks: Mapping[str, Check]
    background_tasks: tuple[Periodic, ...]

    def start(self) -> None:
        """Starts the background tasks. Called in the worker after the fork, because threads do not survive a fork."""
        if self.settings.app_env is AppEnv.PRODUCTION and self.settings.webhook_auth is WebhookAuth.OPTIONAL:
            _log.warning("WEBHOOK_AUTH=optional: deliveries without a webhook key are accepted in production")
        self.database.announce()
        for background_task in self.background_tasks:
            background_task.start()

    def close(self) -> None:
        """Stops the background tasks, writes what waits, and closes the connections."""
        self.replay.stop()
        for background_task in self.background_tasks:
            background_task.stop()
        self.throttled_audit_log.close()
        self.access_audit_log.close()
        self.database.close()
        self.journal.close()


def build(settings: Settings) -> Services:
    """Wires the parts. Opens no connection and starts no thread, so it can run before a fork."""
    journal = Journal(settings.spool_dir, settings.spool_max_mb * 1024 * 1024)
    degraded_mode = DegradedMode(journal)
    database = engine.database(settings, degraded_mode.record_change)
    clients = ClientStore(database.records)
    # On the pool with the short time-outs, because a delivery waits while the directory looks up an unknown number.
    directory = Directory(ClientStore(database.ingest), DirectoryCopy(settings.spool_dir / "directory"))
    users, sessions, passwords = UserStore(database.identity), SessionStore(database.identity), Passwords()
    api_keys = ApiKeyStore(database.identity)
    throttled_audit_log = ThrottledAuditLog(database.ingest)
    access_audit_log = ThrottledAuditLog(database.records, interval=ACCESS_SECONDS)
    exotel_accounts = ExotelAccountStore(database.records, _encryption(settings))
    recorder = Recorder(database.ingest, directory)
    event_reader = EventReader(database.records)
    event_counts = EventCounts(database.records)
    last_scan, latest_backups = partial(scan_archive.latest, settings.scan_dir), partial(backups.latest, event_reader)
    replay = Replay(journal, recorder, directory, database.ingest, degraded_mode, settings.spool_dir / "replay.lock")
    return Services(
        settings=settings,
        database=database,
        clients=clients,
        directory=directory,
        webhook_keys=_webhook_keys(settings),
        exotel_accounts=exotel_accounts,
        users=users,
        sessions=sessions,
        api_keys=api_keys,
        passwords=passwords,
        authentication=Authentication(users, sessions, api_keys, passwords),
        receiver=Receiver(recorder, journal),
        journal=journal,
        replay=replay,
        recorder=recorder,
        answers=ExotelResponses(settings),
        throttled_audit_log=throttled_audit_log,
        access_audit_log=access_audit_log,
        call_reader=CallReader(database.records),
        event_reader=event_reader,
        event_counts=event_counts,
        health_checks=all_checks(settings, database, journal, exotel_accounts.census, last_scan, latest_backups),
        background_tasks=(
            Periodic("refresh the directory", REFRESH_SECONDS, directory.refresh),
            Periodic("write throttled audit entries", INTERVAL_SECONDS, throttled_audit_log.flush),
            Periodic("write throttled access entries", ACCESS_SECONDS, access_audit_log.flush),
            Periodic("probe the database", PROBE_SECONDS, recorder.probe),
            Periodic("replay the spool", REPLAY_SECONDS, replay.run_if_needed),
            Periodic("measure the spool", gauges.EVERY_SECONDS, lambda: gauges.measure(journal)),
            Periodic(
                "read the last scan",
                scan_archive.MEASURE_EVERY_SECONDS,
                partial(scan_archive.measure, settings.scan_dir),
            ),
            Periodic("read the last backup", backups.EVERY_SECONDS, lambda: backups.measure(event_reader)),
            Periodic("delete expired sessions", FORGET_SECONDS, sessions.forget_expired),
            Periodic("fold the audit counts", FOLD_SECONDS, event_counts.fold),
            Periodic("create audit partitions", PARTITIONS_SECONDS, lambda: _make_partitions(database)),
        ),
    )


def _webhook_keys(settings: Settings) -> WebhookKeys:
    previous = settings.webhook_root_key_previous
    return WebhookKeys(settings.webhook_root_key.reveal(), previous.reveal() if previous else None)


def _encryption(settings: Settings) -> Encryption:
    previous = settings.encryption_key_previous
    return Encryption(settings.encryption_key.reveal(), previous.reveal() if previous else None)


def _make_partitions(database: Database) -> None:
    with database.records.transaction() as connection:
        partitions.ensure(connection, clock.now())
