import threading
from uuid import uuid4

from sqlalchemy import event

from calyapp import clock
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.clients.keys import Claim, WebhookKeys
from calyapp.config import Settings
from calyapp.db import partitions
from calyapp.services import build

# Written out, so that a task that is removed by mistake fails a test.
BACKGROUND_TASKS = {
    "refresh the directory",
    "write throttled audit entries",
    "write throttled access entries",
    "probe the database",
    "replay the spool",
    "measure the spool",
    "read the last scan",
    "read the last backup",
    "delete expired sessions",
    "fold the audit counts",
    "create audit partitions",
}
PATIENCE = 10.0


def background_tasks():
    """Returns the threads on which background tasks run."""
    return [thread for thread in threading.enumerate() if thread.name in BACKGROUND_TASKS]


def connections(services):
    """Returns how many connections are open in both pools."""
    return services.database.ingest.statistics().open + services.database.records.statistics().open


class TestBuild:
    def test_opens_no_connection_and_starts_no_thread(self, settings):
        before = set(threading.enumerate())

        services = build(settings)

        assert connections(services) == 0
        assert set(threading.enumerate()) <= before

    def test_does_not_need_the_database(self):
        nowhere = "postgresql://caly@127.0.0.1:1/caly"

        services = build(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": nowhere}))

        assert connections(services) == 0

    def test_accepts_webhook_keys_under_the_previous_root_key(self, database_url):
        root, previous = "a new root of at least 32 bytes …", "the root before, at least 32 bytes"
        environment = {"WEBHOOK_ROOT_KEY": root, "WEBHOOK_ROOT_KEY_PREVIOUS": previous}
        client_id = uuid4()

        services = build(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": database_url, **environment}))

        old_key = WebhookKeys(previous.encode()).mint(client_id, 1)
        assert services.webhook_keys.verify(old_key) == Claim(client_id, 1)
        assert services.webhook_keys.mint(client_id, 1) == WebhookKeys(root.encode()).mint(client_id, 1)


class TestStart:
    def test_starts_each_background_task_once_however_often_it_is_called(self, services):
        before = threading.enumerate()

        services.start()
        services.start()

        started = [thread.name for thread in threading.enumerate() if thread not in before]
        assert sorted(started) == sorted(BACKGROUND_TASKS)

    def test_creates_the_missing_audit_partitions(self, services, query):
        *_, last = partitions.months(clock.now())
        query(f"DROP TABLE {partitions.name(last)}")
        committed = threading.Event()
        event.listen(services.database.records.engine, "commit", lambda _: committed.set())

        services.start()

        assert committed.wait(PATIENCE)
        running = background_tasks()
        services.close()
        for thread in running:
            thread.join(PATIENCE)
        assert query("SELECT to_regclass(%s) IS NOT NULL", partitions.name(last)) == [(True,)]

    def test_fills_the_directory_before_the_first_request(self, services):
        read = threading.Event()

        @event.listens_for(services.database.ingest.engine, "after_cursor_execute")
        def note(_connection, _cursor, _sql, _parameters, context, _many):
            if context.execution_options.get("name") == "list_clients":
                read.set()

        services.start()

        assert read.wait(PATIENCE)


class TestClose:
    def test_stops_the_background_tasks(self, services):
        services.start()
        running = background_tasks()

        services.close()

        for thread in running:
            thread.join(PATIENCE)
        assert len(running) == len(BACKGROUND_TASKS)
        assert background_tasks() == []

    def test_writes_the_throttled_entries_that_still_wait(self, services, query):
        for _ in range(4):
            services.throttled_audit_log.record(("kind",), Entry.now(EventType.WEBHOOK_REJECTED, "Delivery rejected"))

        services.close()

        assert query("SELECT (metadata->>'count')::int FROM audit_logs ORDER BY created_at") == [(1,), (3,)]

    def test_closes_the_connections(self, services):
        services.clients.all()
        before = connections(services)

        services.close()

        assert (before, connections(services)) == (1, 0)

    def test_may_be_called_twice(self, services):
        services.clients.all()

        services.close()
        services.close()

        assert connections(services) == 0
