import json
import os
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from events import event

from calyapp.calls import frame
from calyapp.calls.replay import _BATCH_PER_CLIENT, AlreadyReplayingError, Replay
from calyapp.calls.state import CallView, Phase, Source, Sourced
from calyapp.spool.journal import Lane


@pytest.fixture
def owner(services):
    return services.clients.add("A", ["+918047112345"])


@pytest.fixture
def put(services):
    """`put(event, lane)` spools the event."""

    def append(delivery, lane: Lane = Lane.AWAY) -> None:
        services.journal.append(
            frame.dump(delivery), client_id=delivery.client_id, lane=lane, arrived_at=delivery.arrival.at
        )

    return append


def drain(services) -> int:
    return sum(services.replay.run())


class TestRun:
    def test_records_a_delivery_as_it_arrived(self, services, owner, put, query):
        delivery = event(client_id=owner.id)
        put(delivery)

        assert drain(services) == 1

        assert query("SELECT client_id, encode(digest, 'hex'), received_at FROM deliveries") == [
            (str(owner.id), delivery.digest.hex(), delivery.arrival.at)
        ]
        assert query("SELECT id FROM audit_logs WHERE call_id IS NOT NULL") == [(str(delivery.arrival.audit_id),)]
        assert services.journal.status().depth == 0

    def test_records_a_delivery_once_that_was_recorded_before_the_process_died(self, services, owner, put, query):
        delivery = event(client_id=owner.id)
        services.recorder.record(delivery)
        put(delivery)

        drain(services)

        assert query("SELECT repeats FROM deliveries") == [(1,)]
        assert query("SELECT count(*) FROM audit_logs WHERE call_id IS NOT NULL") == [(1,)]

    def test_records_deferred_deliveries_last(self, services, owner, put, query):
        late, first = event(client_id=owner.id), event(client_id=owner.id)
        put(late, Lane.DEFERRED)
        put(first)

        drain(services)

        assert [bytes(row[0]) for row in query("SELECT digest FROM deliveries ORDER BY xmin::text::bigint")] == [
            first.digest,
            late.digest,
        ]

    def test_takes_clients_in_turn(self, services, owner, put, query):
        other = services.clients.add("B", [])
        for _ in range(_BATCH_PER_CLIENT + 8):
            put(event(client_id=owner.id))
        put(event(client_id=other.id))

        drain(services)

        in_order = [row[0] for row in query("SELECT client_id FROM deliveries ORDER BY xmin::text::bigint")]
        # The threads of one batch commit in any order, but the other client's delivery is in the first batch.
        assert in_order.index(str(other.id)) <= _BATCH_PER_CLIENT

    def test_finds_the_owner_by_the_dialled_number(self, services, owner, put, query):
        put(event(dialled="080 4711 2345"))

        drain(services)

        assert query("SELECT client_id FROM deliveries") == [(str(owner.id),)]

    def test_finds_the_owner_by_a_call_on_the_spool(self, services, owner, put, query):
        starts = [event(dialled="080 4711 2345") for _ in range(20)]
        for start in starts:
            put(event(call_sid=start.call_sid, digest=start.digest[::-1]))
        for start in starts:
            put(replace(start, client_id=owner.id))

        drain(services)

        assert services.journal.quarantined() == []
        assert query("SELECT count(*), count(DISTINCT client_id) FROM deliveries") == [(40, 1)]

    def test_quarantines_a_delivery_that_no_client_owns(self, services, put):
        put(event(dialled="+918047119999"))

        drain(services)

        assert [quarantined.reason for quarantined in services.journal.quarantined()] == ["Client not found"]

    def test_quarantines_a_delivery_with_a_retired_key(self, services, owner, put):
        services.clients.rotate_key(owner.id)
        services.clients.retire_keys(owner.id)
        put(event(client_id=owner.id, key_version=1))
        put(event(client_id=owner.id, key_version=2))

        drain(services)

        (quarantined,) = services.journal.quarantined()
        assert "retired" in quarantined.reason

    def test_quarantines_what_the_database_rejects_and_continues(self, services, owner, put, query):
        query("ALTER TABLE deliveries ADD CONSTRAINT short CHECK (octet_length(payload::text) < 100)")
        put(event(client_id=owner.id, parameters=[("CallSid", "x" * 100)]))
        put(event(client_id=owner.id))

        drain(services)

        assert [quarantined.reason for quarantined in services.journal.quarantined()] == ["SQLSTATE 23514"]
        assert query("SELECT count(*) FROM deliveries") == [(1,)]

    def test_quarantines_an_unreadable_frame_and_continues(self, services, owner, put, query):
        services.journal.append(b"no event", client_id=owner.id, lane=Lane.AWAY, arrived_at=datetime.now(UTC))
        put(event(client_id=owner.id))

        drain(services)

        assert [quarantined.reason for quarantined in services.journal.quarantined()] == ["not an event: error"]
        assert query("SELECT count(*) FROM deliveries") == [(1,)]

    def test_keeps_a_delivery_that_cannot_be_recorded_yet(self, services, owner, put, query):
        query("ALTER TABLE calls RENAME TO elsewhere")
        put(event(client_id=owner.id))

        drain(services)

        assert (services.journal.status().depth, services.journal.quarantined()) == (1, [])

    def test_records_other_deliveries_while_one_call_is_locked(self, services, owner, put, query):
        held, free = event(client_id=owner.id), event(client_id=owner.id)
        services.recorder.record(held)
        query("BEGIN")
        query("SELECT * FROM calls FOR UPDATE")
        put(replace(held, digest=b"\1" * 32))
        put(free)

        drain(services)
        drain(services)

        assert query("SELECT count(*) FROM deliveries WHERE digest = %s", free.digest) == [(1,)]
        assert services.journal.status().depth == 1
        query("ROLLBACK")

    def test_keeps_all_deliveries_while_the_database_is_away(self, services_without_database):
        services = services_without_database
        for _ in range(3):
            services.receiver.receive(event(client_id=uuid4()))

        drain(services)

        assert services.journal.status().depth == 3

    def test_corrects_the_arrival_time_that_a_wrong_clock_wrote(self, services, owner, put, query):
        in_future = datetime(2035, 1, 1, tzinfo=UTC)
        delivery = event(client_id=owner.id)
        view = CallView(phase=Phase.RINGING, start_ts=Sourced(Source.ARRIVAL, in_future))
        put(replace(delivery, arrival=replace(delivery.arrival, at=in_future), view=view))

        drain(services)

        ((received_at, start_ts),) = query("SELECT received_at, start_ts FROM deliveries JOIN calls USING (client_id)")
        assert received_at == start_ts < in_future

    def test_excludes_other_processes(self, services, owner, put):
        put(event(client_id=owner.id))
        put(event(client_id=owner.id))
        folder = services.settings.spool_dir
        other = Replay(
            services.journal,
            services.recorder,
            services.directory,
            services.database.ingest,
            None,
            folder / "replay.lock",
        )
        running = services.replay.run()
        next(running)

        with pytest.raises(AlreadyReplayingError):
            next(other.run())
        running.close()

        assert list(services.replay.run()) == []

    def test_releases_the_lock_although_a_child_was_forked_meanwhile(self, services, owner, put):
        put(event(client_id=owner.id))
        running = services.replay.run()
        next(running)
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)

        try:
            running.close()

            assert list(services.replay.run()) == []
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def test_ends_after_stop(self, services, owner, put):
        for _ in range(100):
            put(event(client_id=owner.id))
        running = services.replay.run()
        next(running)

        services.replay.stop()

        assert list(running) == []
        assert services.journal.status().depth > 0


class TestReport:
    @pytest.mark.parametrize(
        "note",
        ["{", "[]", '["x", "2026-11-28T09:00:00+00:00", {}]', f'["{uuid4()}", "1970-01-01T00:00:00+00:00", {{}}]'],
        ids=["cut", "empty", "no id", "from a wrong clock"],
    )
    def test_is_written_in_spite_of_an_unusable_note(self, services, owner, put, query, note):
        services.journal.notes.add("replayed", note)
        put(event(client_id=owner.id))

        drain(services)

        assert query("SELECT metadata FROM audit_logs WHERE event_type = 'SPOOL_REPLAYED'") == [({"replayed": 1},)]
        assert services.journal.notes.get("replayed") is None

    def test_counts_the_replayed_and_quarantined_deliveries_once(self, services, owner, put, query):
        put(event(client_id=owner.id))
        put(event(client_id=owner.id), Lane.DEFERRED)
        put(event(dialled="+918047119999"))

        drain(services)
        drain(services)

        entries = query("SELECT metadata FROM audit_logs WHERE event_type = 'SPOOL_REPLAYED'")
        assert entries == [({"replayed": 2, "quarantined": 1},)]

    def test_includes_a_degraded_mode_that_is_over(self, services, query):
        began = datetime.now(UTC)
        for note in ("degraded since", "degraded until"):
            services.journal.notes.add(note, json.dumps({"id": str(uuid4()), "at": began.isoformat()}))

        services.replay.run_if_needed()
        services.replay.run_if_needed()

        entries = query("SELECT event_type, created_at FROM audit_logs WHERE event_type LIKE 'DEGRADED%%' ORDER BY 2")
        assert [row[0] for row in entries] == ["DEGRADED_MODE_ENTERED", "DEGRADED_MODE_LEFT"]
        assert entries[0][1] == began


class TestRunIfNeeded:
    def test_replays_on_another_thread(self, services, owner, put, query):
        put(event(client_id=owner.id))

        thread = threading.Thread(target=services.replay.run_if_needed)
        thread.start()
        thread.join()

        assert query("SELECT count(*) FROM deliveries") == [(1,)]

    def test_does_nothing_while_another_process_replays(self, services, owner, put):
        put(event(client_id=owner.id))
        put(event(client_id=owner.id))
        running = services.replay.run()
        next(running)

        services.replay.run_if_needed()

        running.close()
