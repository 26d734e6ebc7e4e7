from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import count, permutations
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from strategies import views

from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.calls import store
from calyapp.calls.event import Arrival, CallEvent, Route
from calyapp.calls.state import SOURCED, CallView, Evidence, Phase, Source, Sourced
from calyapp.db import queries

CLIENT = UUID(int=7)
NOW = datetime.now(UTC)
_numbers = count()


def event(view: CallView, call_sid: str | None = "sid", **overrides) -> CallEvent:
    """Returns a delivery with a unique digest, unless it is overridden."""
    arrival = Arrival(at=NOW + timedelta(milliseconds=next(_numbers)), audit_id=uuid4())
    fields = {
        "route": Route.CALL_STATUS,
        "parameters": [("CallSid", call_sid or "")],
        "digest": uuid4().bytes * 2,
        "arrival": arrival,
        "client_id": CLIENT,
        "call_sid": call_sid,
        "view": view,
    }
    return CallEvent(**{**fields, **overrides})


def audit_entry(delivery: CallEvent) -> Entry:
    return Entry(
        id=delivery.arrival.audit_id,
        created_at=delivery.arrival.at,
        event_type=EventType.CALL_STATUS_CHANGED,
        description="Call status reported",
        client_id=CLIENT,
        ip_address="203.0.113.9",
        metadata={"digest": delivery.digest.hex()},
    )


@pytest.fixture
def write(services):
    """`write(*deliveries)` writes them one after the other, and returns what the last one did."""

    def write_all(*deliveries: CallEvent, client_id: UUID = CLIENT) -> store.WrittenDelivery:
        with services.database.ingest.connection() as connection:
            return [store.write(connection, delivery, client_id, audit_entry(delivery)) for delivery in deliveries][-1]

    return write_all


@pytest.fixture
def recorded(query):
    """`recorded(call_sid)` reads status, outcome, duration and view of a call's row."""

    def read(call_sid: str) -> tuple:
        columns = ", ".join(f"{name}, {name}_source" for name in SOURCED)
        sql = f"SELECT status, outcome, duration_seconds, phase, evidence, {columns} FROM calls WHERE call_sid = %s"
        ((status, outcome, duration, phase, evidence, *pairs),) = query(sql, call_sid)
        columns = zip(SOURCED, pairs[::2], pairs[1::2], strict=True)
        sourced = {name: Sourced(Source(source), value) for name, value, source in columns if source}
        return status, outcome, duration, CallView(phase=Phase(phase), evidence=Evidence(evidence), **sourced)

    return read


def expected(view: CallView) -> tuple:
    return view.status.value, view.outcome and view.outcome.value, view.duration_seconds, view


class TestJoinInSql:
    @hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(views, min_size=1, max_size=5))
    def test_gives_what_the_join_in_python_gives(self, write, recorded, seen):
        call_sid = uuid4().hex

        write(*(event(view, call_sid) for view in seen))

        assert recorded(call_sid) == expected(reduce(CallView.join, seen))

    def test_gives_one_row_for_every_order_and_repetition_of_a_call(self, write, recorded):
        at = [Sourced(Source.ARRIVAL, NOW + timedelta(seconds=second)) for second in range(5)]
        link = Sourced(Source.STATUS_CALLBACK, "https://recordings.example/1.mp3")
        seen = [
            CallView(phone_from=Sourced(Source.PASSTHRU, "+919876543210"), start_ts=at[0]),
            CallView(phase=Phase.RINGING, start_ts=at[1]),
            CallView(phase=Phase.IN_PROGRESS, start_ts=at[2]),
            CallView(phase=Phase.OVER, evidence=Evidence.COMPLETED, start_ts=at[3], end_ts=at[3]),
            CallView(recording_url=link, start_ts=at[4]),
        ]
        records = set()

        for order in permutations(seen):
            call_sid = uuid4().hex
            deliveries = [event(view, call_sid) for view in order]
            write(*deliveries, *deliveries[:3], deliveries[4])
            records.add(recorded(call_sid))

        assert records == {expected(reduce(CallView.join, seen))}

    def test_compares_texts_by_code_points_in_every_collation(self, write, recorded):
        seen = [CallView(phone_from=Sourced(Source.API, text)) for text in ("a", "B", "Z", "ä", "-")]

        write(*(event(view, "words") for view in seen))

        assert recorded("words")[-1].phone_from == Sourced(Source.API, "ä")


class TestWrite:
    def test_records_delivery_call_and_audit_entry(self, write, query):
        delivery = event(CallView(phase=Phase.RINGING), parameters=[("CallSid", "sid"), ("x", "1"), ("x", "2")])

        written = write(delivery)

        call_id = delivery.call_id(CLIENT)
        assert written == store.WrittenDelivery(is_new=True, status="ringing")
        assert query("SELECT id::text, client_id::text, status FROM calls") == [(str(call_id), str(CLIENT), "ringing")]
        assert query("SELECT encode(digest, 'hex'), call_id::text, route, payload, repeats FROM deliveries") == [
            (delivery.digest.hex(), str(call_id), "call-status", {"CallSid": "sid", "x": ["1", "2"]}, 0)
        ]
        assert query("SELECT id::text, event_type, severity, host(ip_address), metadata FROM audit_logs") == [
            (
                str(delivery.arrival.audit_id),
                "CALL_STATUS_CHANGED",
                "LOW",
                "203.0.113.9",
                {"digest": delivery.digest.hex()},
            )
        ]

    def test_counts_a_repeat_and_changes_nothing_else(self, write, query):
        first = event(CallView(phase=Phase.RINGING))
        again = event(CallView(phase=Phase.OVER), digest=first.digest)
        write(first)
        before = query("SELECT * FROM calls")

        written = write(again)

        assert written == store.WrittenDelivery(is_new=False, status="ringing")
        assert query("SELECT * FROM calls") == before
        assert query("SELECT repeats FROM deliveries") == [(1,)]
        assert query("SELECT count(*) FROM audit_logs") == [(1,)]

    def test_keeps_clients_with_the_same_call_sid_and_digest_apart(self, write, query):
        delivery = event(CallView(phase=Phase.OVER))
        write(delivery)

        written = write(event(CallView(phase=Phase.RINGING), digest=delivery.digest), client_id=UUID(int=8))

        assert written == store.WrittenDelivery(is_new=True, status="ringing")
        assert query("SELECT status FROM calls ORDER BY client_id") == [("completed",), ("ringing",)]

    def test_returns_the_outcome_when_the_call_ends_and_when_it_changes(self, write):
        busy = event(CallView(phase=Phase.OVER, evidence=Evidence.BUSY))

        outcomes = [
            write(delivery).new_outcome
            for delivery in (
                event(CallView(phase=Phase.RINGING)),
                busy,
                busy,
                event(CallView(phase=Phase.RINGING)),
                event(CallView(phase=Phase.OVER, evidence=Evidence.ANSWERED)),
                event(CallView(phase=Phase.OVER, evidence=Evidence.ANSWERED)),
            )
        ]

        assert outcomes == [None, "rejected", None, None, "answered", None]

    def test_returns_unknown_for_a_call_that_ended_without_an_outcome(self, write):
        assert write(event(CallView(phase=Phase.OVER))).new_outcome == "unknown"

    def test_stores_a_delivery_without_a_call(self, write, query):
        written = write(event(CallView(), call_sid=None, route=Route.HEARTBEAT))

        assert written == store.WrittenDelivery(is_new=True, status=None)
        assert query("SELECT count(*) FROM calls") == [(0,)]
        assert query("SELECT call_id FROM deliveries") == [(None,)]

    def test_stores_every_text_readably(self, write, query):
        odd = "NUL \0, lone surrogate \ud83d, quote ' \" \\ %s and नमस्ते"

        write(event(CallView(), parameters=[("CustomField", odd)]))

        escaped = odd.replace("\0", "\\u0000").replace("\ud83d", "\\ud83d")
        assert query("SELECT payload->>'CustomField' FROM deliveries") == [(escaped,)]

    def test_needs_one_round_trip(self, services, write):
        write(event(CallView()))
        with queries.tallied() as tally:
            write(event(CallView()))

        assert tally.count == 1


class TestConcurrentWrites:
    """Writes from several connections at the same time."""

    @pytest.mark.parametrize("seed", range(5))
    def test_of_distinct_deliveries_of_a_call_give_their_join(self, services, recorded, query, seed):
        phases = [Phase.INITIATED, Phase.RINGING, Phase.IN_PROGRESS, Phase.OVER]
        seen = [
            CallView(
                phase=phases[number % 4],
                evidence=list(Evidence)[(number + seed) % 8],
                talk_seconds=Sourced(list(Source)[number % 4], number),
                phone_from=Sourced(Source.PASSTHRU, f"+9198765432{number:02d}"),
            )
            for number in range(40)
        ]

        self._write_concurrently(services, [event(view, "busy") for view in seen])

        assert recorded("busy") == expected(reduce(CallView.join, seen))
        assert query("SELECT count(*) FROM deliveries") == [(40,)]

    def test_of_one_delivery_are_new_once_and_always_return_the_status(self, services, query):
        first = event(CallView(phase=Phase.RINGING), "twin")
        twins = [first] + [event(first.view, "twin", digest=first.digest) for _ in range(39)]

        written = self._write_concurrently(services, twins)

        assert sorted(delivery.is_new for delivery in written) == [False] * 39 + [True]
        assert {delivery.status for delivery in written} == {"ringing"}
        assert query("SELECT repeats FROM deliveries") == [(39,)]
        assert query("SELECT count(*) FROM audit_logs") == [(1,)]

    def _write_concurrently(self, services, deliveries: list[CallEvent]) -> list[store.WrittenDelivery]:
        def write(delivery: CallEvent) -> store.WrittenDelivery:
            with services.database.ingest.connection() as connection:
                return store.write(connection, delivery, CLIENT, audit_entry(delivery))

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(write, deliveries))


class TestOwners:
    def test_are_the_clients_that_have_a_call_with_this_call_sid(self, services, write):
        write(event(CallView(), "one"))
        write(event(CallView(), "both"))
        write(event(CallView(), "both"), client_id=UUID(int=8))

        with services.database.ingest.connection() as connection:
            owners = [sorted(store.owners(connection, sid)) for sid in ("none", "one", "both")]

        assert owners == [[], [CLIENT], [CLIENT, UUID(int=8)]]


class TestCallRows:
    def test_are_the_existing_calls_of_the_client(self, write, services):
        view = CallView(phase=Phase.RINGING, phone_to=Sourced(Source.PASSTHRU, "+918047112345"))
        write(event(view, "s1"), event(view, "s2"))
        write(event(view, "s3"), client_id=UUID(int=8))

        with services.database.records.connection() as connection:
            rows = store.call_rows(connection, CLIENT, ["s1", "s3", "s4"])

        assert list(rows) == ["s1"]
        assert rows["s1"].items() >= store.columns(view).items()
