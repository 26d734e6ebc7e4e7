"""Calls as a tenant reads them: no query returns rows of another client."""

from uuid import uuid4

import pytest
import sample_records

from calyapp.calls.reader import MAX_TIMELINE_BYTES, MAX_TIMELINE_DELIVERIES
from calyapp.db import tenancy

CLIENT = sample_records.CLIENT_ID


@pytest.fixture
def reader(services, query):
    sample_records.fill(query, calls=3)
    query(
        "UPDATE calls SET recording_url = 'https://r.example/1', recording_url_source = 'api' WHERE call_sid = 'call-1'"
    )
    return services.call_reader


def sids(page) -> set[str]:
    return {row["call_sid"] for row in page.rows}


class TestPage:
    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({}, {"call-1", "call-2", "call-3"}),
            ({"phone_from": "+919800000002"}, {"call-2"}),
            ({"call_sid": "call-3"}, {"call-3"}),
            ({"has_recording": True}, {"call-1"}),
            ({"has_recording": False}, {"call-2", "call-3"}),
            ({"status": "failed"}, set()),
            ({"client_id": CLIENT, "status": "completed"}, {"call-1", "call-2", "call-3"}),
        ],
        ids=["none", "number", "CallSid", "recording", "no recording", "status", "two"],
    )
    def test_has_the_calls_that_match_the_filters(self, reader, filters, expected):
        assert sids(reader.page(CLIENT, filters, None, 10)) == expected

    def test_has_nothing_of_another_client(self, reader):
        assert sids(reader.page(uuid4(), {"client_id": CLIENT}, None, 10)) == set()


class TestFind:
    @pytest.mark.parametrize("by", ["id", "call_sid"])
    @pytest.mark.parametrize("tenant", [CLIENT, tenancy.ALL], ids=str)
    def test_returns_a_call_by_id_and_by_call_sid(self, reader, query, by, tenant):
        ((name,),) = query(f"SELECT {by}::text FROM calls WHERE call_sid = 'call-2'")

        result = reader.find(tenant, name)

        assert result.call["call_sid"] == "call-2"
        assert {delivery["route"] for delivery in result.timeline} == {
            "call-start",
            "call-status",
            "call-end",
            "recording",
        }

    @pytest.mark.parametrize("by", ["id", "call_sid"])
    def test_returns_none_for_a_call_of_another_client(self, reader, query, by):
        ((name,),) = query(f"SELECT {by}::text FROM calls WHERE call_sid = 'call-2'")

        assert reader.find(uuid4(), name) is None

    def test_prefers_an_id_to_a_call_sid_that_looks_like_it(self, services, reader, query):
        other = services.clients.add("Banyan Dental", []).id
        ((name,),) = query("SELECT id::text FROM calls WHERE call_sid = 'call-2'")
        query(
            "INSERT INTO calls (client_id, call_sid, id, phase, evidence, status, created_at, updated_at) "
            "VALUES (%s, %s, gen_random_uuid(), 'initiated', 'none', 'initiated', now() + '1 hour', now())",
            *(str(other), name),
        )

        assert reader.find(tenancy.ALL, name).call["call_sid"] == "call-2"
        assert reader.find(other, name).call["call_sid"] == name


class TestTimeline:
    @pytest.fixture
    def add(self, query):
        """`add(count, size)` adds so many deliveries with parameters of this size to the end of the first call."""
        return lambda count, size: query(
            "INSERT INTO deliveries (client_id, digest, call_id, route, received_at, payload) "
            "SELECT client_id, sha256(n::text::bytea), id, 'passthru', now() + n * interval '1 second', "
            "jsonb_build_object('note', repeat('a', %s)) "
            "FROM calls, generate_series(1, %s) AS n WHERE call_sid = 'call-1'",
            *(size, count),
        )

    @pytest.mark.parametrize(
        ("count", "size", "returned"),
        [
            (MAX_TIMELINE_DELIVERIES - 4, 1, MAX_TIMELINE_DELIVERIES),
            (MAX_TIMELINE_DELIVERIES - 3, 1, MAX_TIMELINE_DELIVERIES),
            (3, MAX_TIMELINE_BYTES // 2, 4 + 2),
            (2, MAX_TIMELINE_BYTES // 2, 4 + 2),
        ],
        ids=["maximum number", "one too many", "too large", "maximum size"],
    )
    def test_is_bounded_in_number_and_size_and_says_if_it_is_truncated(self, reader, add, count, size, returned):
        add(count, size)

        result = reader.find(CLIENT, "call-1")

        assert len(result.timeline) == returned
        assert result.is_truncated == (returned < 4 + count)
