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

CHORES = {
    *("refresh directory", "write counted audit entries", "make audit partitions", "forget expired sessions"),
    *("try the database again", "replay the spool", "measure the spool"),
}
PATIENCE = 10.0


def background_tasks():
    """The threads on which chores run."""
    return [thread for thread in threading.enumerate() if thread.name in CHORES]


def connections(services):
    """How many are open in both pools."""
    return services.database.ingest.statistics().open + services.database.records.statistics().open


class TestBuild:
    def test_opens_no_connection_and_starts_no_thread(self, settings):
        before = set(threading.enumerate())

        services = build(settings)

        assert connections(services) == 0
        assert set(threading.enumerate()) <= before

    def test_does_not_ask_whether_the_database_is_there(self):
        nowhere = "postgresql://caly@127.0.0.1:1/caly"

        services = build(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": nowhere}))

        assert connections(services) == 0

    def test_keeps_keys_under_the_previous_root_good(self, database_url):
        root, previous = "a new root of at least 32 bytes …", "the root before, at least 32 bytes"
        environment = {"WEBHOOK_ROOT_KEY": root, "WEBHOOK_ROOT_KEY_PREVIOUS": previous}
        client_id = uuid4()

        services = build(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": database_url, **environment}))

        old_key = WebhookKeys(previous.encode()).mint(client_id, 1)
        assert services.webhook_keys.verify(old_key) == Claim(client_id, 1)
        assert services.webhook_keys.mint(client_id, 1) == WebhookKeys(root.encode()).mint(client_id, 1)


class TestStart:
    def test_begins_each_chore_once_however_often_it_is_called(self, services):
        services.start()
        services.start()

        assert sorted(thread.name for thread in background_tasks()) == sorted(CHORES)

    def test_makes_the_audit_partitions_that_are_missing(self, services, query):
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

    def test_fills_the_directory_before_anybody_asks(self, services):
        read = threading.Event()

        @event.listens_for(services.database.ingest.engine, "after_cursor_execute")
        def note(_connection, _cursor, _sql, _parameters, context, _many):
            if context.execution_options.get("name") == "list_clients":
                read.set()

        services.start()

        assert read.wait(PATIENCE)


class TestClose:
    def test_ends_the_chores(self, services):
        services.start()
        running = background_tasks()

        services.close()

        for thread in running:
            thread.join(PATIENCE)
        assert len(running) == len(CHORES)
        assert background_tasks() == []

    def test_writes_what_still_waits_in_the_throttled_trail(self, services, query):
        for _ in range(4):
            services.throttled_audit_log.note(("kind",), Entry.now(EventType.WEBHOOK_REJECTED, "Delivery rejected"))

        services.close()

        assert query("SELECT (metadata->>'count')::int FROM audit_logs ORDER BY created_at") == [(1,), (3,)]

    def test_gives_the_connections_back(self, services):
        services.clients.all()
        before = connections(services)

        services.close()

        assert (before, connections(services)) == (1, 0)

    def test_may_be_called_twice(self, services):
        services.clients.all()

        services.close()
        services.close()

        assert connections(services) == 0
