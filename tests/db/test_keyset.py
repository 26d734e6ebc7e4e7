"""Pages of calls, and the plans by which the server reads them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import plans
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calyapp.db import keyset, tenancy
from calyapp.db.keyset import Place
from calyapp.db.tables import calls

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
CLIENT = UUID("5a0c9f1e-8f43-4c5d-9d6f-0d1f3e1c2b4a")
# Calls of 40 clients in turn, a second apart. One call in 400 failed and is outbound. Numbers repeat after 1000 calls.
CALLS = """
INSERT INTO calls (client_id, call_sid, id, phase, evidence, status, phone_from, phone_from_source, phone_to,
                   phone_to_source, direction, direction_source, created_at, updated_at)
SELECT CASE WHEN n %% 40 = 0 THEN '{client}' ELSE md5((n %% 40)::text)::uuid END, 'sid-' || n, md5(n::text)::uuid,
       'over', 'none', CASE WHEN n %% 400 = 0 THEN 'failed' ELSE 'completed' END,
       '+91987650' || lpad((n %% 1000)::text, 4, '0'), 'arrival', '+91804711' || lpad((n %% 1000)::text, 4, '0'),
       'arrival', CASE WHEN n %% 400 = 0 THEN 'outbound' ELSE 'inbound' END, 'arrival',
       timestamptz '2026-11-01Z' + n * interval '1 second', now()
FROM generate_series(1, %s) AS n
""".replace("{client}", str(CLIENT))  # fmt: skip


@pytest.fixture
def many(query):
    query(CALLS, 40_000)
    query("ANALYZE calls")


@pytest.fixture
def page(services):
    """`page(tenant, filters, after, limit)`: the page as the records API reads it."""

    def read(tenant=tenancy.ALL, filters=(), after=None, limit=100):
        with tenancy.reading(services.database.records, tenant) as connection:
            return keyset.read(connection, calls, [*keyset.conditions(calls, tenant, dict(filters))], after, limit)

    return read


class TestRead:
    def test_returns_each_call_once_and_the_newest_first(self, page, query):
        query(CALLS, 10)
        numbers, after = [], None

        while True:
            part = page(after=after, limit=3)
            numbers.append([row["call_sid"] for row in part.rows])
            if (after := part.next) is None:
                break

        assert numbers == [[f"sid-{n}" for n in some] for some in ((10, 9, 8), (7, 6, 5), (4, 3, 2), (1,))]

    def test_has_no_next_after_a_full_last_page(self, page, query):
        query(CALLS, 3)

        assert page(limit=3).next is None

    def test_distinguishes_calls_with_the_same_timestamp(self, page, query):
        query(CALLS, 5)
        query("UPDATE calls SET created_at = '2026-11-01Z'")

        first = page(limit=3)
        second = page(after=first.next, limit=3)

        assert len({row["id"] for row in (*first.rows, *second.rows)}) == 5

    def test_begins_with_since_and_ends_before_until(self, page, query):
        query(CALLS, 10)

        found = page(filters={"since": BEGAN + timedelta(seconds=3), "until": BEGAN + timedelta(seconds=6)}).rows

        assert [row["call_sid"] for row in found] == ["sid-5", "sid-4", "sid-3"]

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(limit=st.integers(1, 7), arrivals=st.lists(st.integers(0, 6), max_size=12))
    def test_repeats_and_omits_nothing_while_calls_are_added(self, page, query, limit, arrivals):
        query("DELETE FROM calls")
        query(CALLS, 12)
        seen, after, number = [], None, 12

        while True:
            part = page(after=after, limit=limit)
            seen += [row["call_sid"] for row in part.rows]
            if (after := part.next) is None:
                break
            for _ in range(arrivals.pop() if arrivals else 0):
                number += 1
                query(
                    "INSERT INTO calls SELECT (jsonb_populate_record(calls, jsonb_build_object('call_sid', %s, 'id', "
                    "gen_random_uuid(), 'created_at', timestamptz '2026-11-02Z' + %s * interval '1 second'))).* "
                    "FROM calls WHERE call_sid = 'sid-1'",
                    f"late-{number}",
                    number,
                )

        assert [sid for sid in seen if not sid.startswith("late")] == [f"sid-{n}" for n in range(12, 0, -1)]
        assert len(seen) == len(set(seen))


class TestQueryPlan:
    LIMIT = 100

    @pytest.mark.parametrize(
        ("tenant", "filters"),
        [
            (tenancy.ALL, {}),
            (CLIENT, {}),
            (CLIENT, {"status": "failed"}),
            (CLIENT, {"status": "completed"}),
            (tenancy.ALL, {"client_id": CLIENT, "status": "failed"}),
            (tenancy.ALL, {"status": "failed"}),
            (tenancy.ALL, {"status": "completed"}),
            (tenancy.ALL, {"direction": "outbound"}),
            (CLIENT, {"direction": "outbound"}),
            (CLIENT, {"direction": "inbound"}),
            (tenancy.ALL, {"phone_from": "+919876500020"}),
            (CLIENT, {"phone_to": "+918047110040"}),
            (CLIENT, {"since": BEGAN, "until": BEGAN + timedelta(hours=4)}),
            (tenancy.ALL, {"call_sid": "sid-77"}),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("depth", ["first", "deep"])
    def test_of_a_page_reads_few_rows(self, services, many, tenant, filters, depth):
        after = Place(BEGAN + timedelta(hours=2), UUID(int=0)) if depth == "deep" else None

        plan = plans.of_page(services.database.records, calls, tenant, filters, after, self.LIMIT)

        assert plans.rows_passed(plan) <= 3 * self.LIMIT
