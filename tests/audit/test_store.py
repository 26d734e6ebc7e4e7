"""Audit entries as a tenant may read them."""

from uuid import UUID, uuid4

import ledger
import pytest

from calyapp.audit import trail
from calyapp.audit.events import EventType
from calyapp.audit.trail import Entry
from calyapp.db import tenancy

CLIENT = UUID("5a0c9f1e-8f43-4c5d-9d6f-0d1f3e1c2b4a")  # the ledger's
USER = uuid4()


@pytest.fixture
def reader(services, query):
    """Four entries of a client, and one that is nobody's."""
    ledger.fill(query, calls=1)
    trail.write(services.database.records, Entry.now(EventType.LOGIN_FAILURE, "Login", status="failure", user_id=USER))
    return services.event_reader


def types(page) -> list[str]:
    return [row["event_type"] for row in page.rows]


class TestPage:
    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({}, 5),
            ({"client_id": CLIENT}, 4),
            ({"user_id": USER}, 1),
            ({"event_type": "LOGIN_FAILURE"}, 1),
            ({"severity": "LOW"}, 4),
            ({"status": "failure", "severity": "MEDIUM"}, 1),
            ({"call_id": uuid4()}, 0),
            ({"request_id": "nothing"}, 0),
            ({"resource": "call"}, 0),
        ],
        ids=["none", "client", "user", "type", "severity", "two", "call", "request", "resource"],
    )
    def test_has_what_the_filters_let_through(self, reader, filters, count):
        assert len(reader.page(tenancy.ALL, filters, None, 10).rows) == count

    def test_of_a_client_has_nothing_that_is_nobodys(self, reader):
        assert types(reader.page(CLIENT, {}, None, 10)) == ["DELIVERY_RECEIVED"] * 4

    def test_has_nothing_of_another_client(self, reader):
        assert types(reader.page(uuid4(), {"client_id": CLIENT}, None, 10)) == []


class TestFind:
    def test_is_for_those_who_see_it(self, reader, query):
        ((event_id,),) = query("SELECT id::text FROM audit_logs WHERE client_id IS NOT NULL LIMIT 1")

        found = [reader.find(tenant, UUID(event_id)) for tenant in (CLIENT, tenancy.ALL, uuid4())]

        assert [row and row["event_type"] for row in found] == ["DELIVERY_RECEIVED", "DELIVERY_RECEIVED", None]
