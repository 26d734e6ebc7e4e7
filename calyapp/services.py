"""What one process needs, built once and closed once. Knows no HTTP."""

import logging
from dataclasses import dataclass

from calyapp import clock
from calyapp.audit.throttle import INTERVAL_SECONDS, ThrottledTrail
from calyapp.calls.intake import Intake
from calyapp.clients.directory import REFRESH_SECONDS, Directory
from calyapp.clients.directory_copy import DirectoryCopy
from calyapp.clients.keys import WebhookKeys
from calyapp.clients.store import ClientStore
from calyapp.config import AppEnv, Settings, WebhookAuth
from calyapp.db import engine, partitions
from calyapp.db.engine import Database
from calyapp.exotel.answers import Answers
from calyapp.health.checks import Checks
from calyapp.health.probes import all_probes
from calyapp.periodic import Periodic

PARTITIONS_SECONDS = 600.0  # far more often than they are needed, so that one failure does not matter
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a process, wired."""

    settings: Settings
    database: Database
    clients: ClientStore
    directory: Directory
    webhook_keys: WebhookKeys
    intake: Intake
    answers: Answers
    throttled_trail: ThrottledTrail
    checks: Checks
    chores: tuple[Periodic, ...]

    def start(self) -> None:
        """Begin the chores that run beside the requests. In the worker, after the fork: threads do not survive it."""
        if self.settings.app_env is AppEnv.PRODUCTION and self.settings.webhook_auth is WebhookAuth.OPTIONAL:
            _log.warning("WEBHOOK_AUTH=optional: deliveries without a webhook key are taken in production")
        for chore in self.chores:
            chore.start()

    def close(self) -> None:
        """Stop the chores, write what still waits, and give the connections back."""
        for chore in self.chores:
            chore.stop()
        self.throttled_trail.close()
        self.database.close()


def build(settings: Settings) -> Services:
    """Wire the parts. Opens no connection and starts no thread, so it may run before a fork."""
    database = engine.database(settings)
    clients = ClientStore(database.records)
    # Over the pool with the short time-outs: deliveries wait for what the directory does not know.
    directory = Directory(ClientStore(database.ingest), DirectoryCopy(settings.spool_dir / "directory"))
    throttled_trail = ThrottledTrail(database.ingest)
    return Services(
        settings=settings,
        database=database,
        clients=clients,
        directory=directory,
        webhook_keys=_webhook_keys(settings),
        intake=Intake(database.ingest, directory),
        answers=Answers(settings),
        throttled_trail=throttled_trail,
        checks=Checks(all_probes(settings, database)),
        chores=(
            Periodic("refresh directory", REFRESH_SECONDS, directory.refresh),
            Periodic("write counted audit entries", INTERVAL_SECONDS, throttled_trail.flush),
            Periodic("make audit partitions", PARTITIONS_SECONDS, lambda: _make_partitions(database)),
        ),
    )


def _webhook_keys(settings: Settings) -> WebhookKeys:
    previous = settings.webhook_root_key_previous
    return WebhookKeys(settings.webhook_root_key.reveal(), previous.reveal() if previous else None)


def _make_partitions(database: Database) -> None:
    with database.records.transaction() as connection:
        partitions.ensure(connection, clock.now())
