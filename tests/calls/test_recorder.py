import select
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import psycopg2
import pytest
from events import event

from calyapp.breaker import Breaker
from calyapp.calls.recorder import Recorder
from calyapp.calls.state import CallView, Phase
from calyapp.errors import DatabaseAway, NotFoundError

# Fails like a trigger whose library is missing.
BROKEN = """
CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'could not load the library' USING ERRCODE = 'undefined_file';
END
$$;
CREATE {kind} TRIGGER broken AFTER {event} ON {table} {timing} FOR EACH ROW EXECUTE FUNCTION broken()
"""
NOTIFYING = """
CREATE FUNCTION notifying() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY recorded; RETURN NULL; END $$;
CREATE TRIGGER notifying AFTER INSERT ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION notifying()
"""


class TestRecord:
    def test_returns_the_client_the_call_and_its_status(self, services):
        owner = services.clients.add("A", ["+918047112345"])
        delivery = event(dialled="080 4711 2345")

        recorded = services.recorder.record(delivery)

        assert (recorded.client_id, recorded.call_id) == (owner.id, delivery.call_id(owner.id))
        assert (recorded.status, recorded.is_new) == ("ringing", True)

    def test_recognises_a_repeat(self, services):
        services.clients.add("A", ["+918047112345"])
        delivery = event(dialled="+918047112345")
        services.recorder.record(delivery)

        assert services.recorder.record(delivery).is_new is False

    def test_refuses_a_delivery_that_no_client_owns(self, services, query):
        with pytest.raises(NotFoundError, match="Client not found"):
            services.recorder.record(event(dialled="+918047112345"))

        assert query("SELECT count(*) FROM deliveries") == [(0,)]

    def test_refuses_a_delivery_of_a_disabled_client(self, services):
        owner = services.clients.add("A", ["+918047112345"])
        services.clients.disable(owner.id)

        with pytest.raises(NotFoundError):
            services.recorder.record(event(dialled="+918047112345"))

    def test_connects_again_after_the_server_closed_its_connections(self, services, query):
        owner = services.clients.add("A", [])
        services.recorder.record(event(client_id=owner.id))
        query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'caly' AND datname = current_database()"
        )

        recorded = services.recorder.record(event(client_id=owner.id))

        assert recorded.is_new
        assert query("SELECT count(*) FROM deliveries") == [(2,)]

    def test_raises_while_the_database_is_away(self, services_without_database):
        with pytest.raises(DatabaseAway):
            services_without_database.recorder.record(event(client_id=uuid4()))


class TestProbe:
    @pytest.fixture
    def changes(self):
        """The changes of the breaker: True for each opening, False for each closing."""
        return []

    @pytest.fixture
    def recorder(self, services, changes):
        """A recorder whose breaker does not pause between probes."""
        breaker = Breaker(failures=3, pause=0.0, max_pause=0.0, on_change=changes.append)
        return Recorder(replace(services.database.ingest, breaker=breaker), services.directory)

    @pytest.fixture
    def read_only(self, query):
        """`read_only(True)` makes all new connections read-only."""
        ((database,),) = query("SELECT current_database()")

        def switch(on: bool) -> None:
            query(
                f"SET default_transaction_read_only = off; ALTER DATABASE {database} SET "
                f"default_transaction_read_only = {'on' if on else 'off'}"
            )

        return switch

    def fail(self, recorder) -> None:
        for _ in range(3):
            with pytest.raises(DatabaseAway):
                recorder.record(event(client_id=uuid4()))

    def test_closes_the_breaker_once_deliveries_can_be_recorded(self, services, recorder, changes, read_only):
        read_only(True)
        self.fail(recorder)
        recorder.probe()
        assert changes == [True]
        read_only(False)
        services.database.ingest.engine.dispose()

        recorder.probe()

        assert changes == [True, False]
        assert recorder.record(event(client_id=uuid4())).is_new

    def test_leaves_no_trace_in_the_database(self, services, recorder, changes, read_only, query, database_url):
        query(NOTIFYING)
        read_only(True)
        self.fail(recorder)
        read_only(False)
        services.database.ingest.engine.dispose()

        with psycopg2.connect(database_url.replace("+psycopg2", "")) as listener:
            listener.cursor().execute("LISTEN recorded")
            listener.commit()
            recorder.probe()
            readable, _, _ = select.select([listener], [], [], 0)
        listener.close()

        tables = ("deliveries", "calls", "audit_logs", "audit_counts_pending", "audit_counts_daily")
        assert changes == [True, False]
        assert not readable
        assert [query(f"SELECT count(*) FROM {table}") for table in tables] == [[(0,)]] * len(tables)

    @pytest.mark.parametrize(
        ("table", "on"),
        [
            ("deliveries", "INSERT"),
            ("deliveries", "UPDATE"),
            ("calls", "INSERT"),
            ("calls", "UPDATE"),
            ("audit_logs", "INSERT"),
        ],
    )
    @pytest.mark.parametrize(("kind", "timing"), [("", ""), ("CONSTRAINT", "DEFERRABLE INITIALLY DEFERRED")])
    def test_keeps_the_breaker_open_while_a_trigger_fails(self, recorder, changes, query, table, on, kind, timing):
        query(BROKEN.format(table=table, event=on, kind=kind, timing=timing))
        client_id = uuid4()
        ringing = event(client_id=client_id)
        over = replace(ringing, digest=b"1" * 32, view=CallView(phase=Phase.OVER))

        for _ in range(10):
            for delivery in (ringing, over, ringing):
                with suppress(DatabaseAway):
                    recorder.record(delivery)
            recorder.probe()

        assert changes in ([], [True])  # deliveries that succeed in between may keep it closed
        assert False not in changes

    @pytest.mark.parametrize("lock", ["calls", "audit_counts_pending"])
    def test_keeps_the_breaker_open_while_a_table_is_locked(self, recorder, changes, query, lock):
        query("BEGIN")
        query(f"LOCK TABLE {lock} IN SHARE MODE")
        self.fail(recorder)

        recorder.probe()

        assert changes == [True]
        query("ROLLBACK")
