"""Audit entries as a tenant may read them."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import plans
import pytest
import sample_records

from calyapp import services as wiring
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.config import Settings
from calyapp.db import partitions, tenancy
from calyapp.db.keyset import Place
from calyapp.db.tables import audit_logs

CLIENT = sample_records.CLIENT_ID
USER = UUID(int=3)  # the same in every process, because it is part of test ids


@pytest.fixture
def reader(services, query):
    """Four entries of a client, and one without a client."""
    sample_records.fill(query, calls=1)
    failure = Entry.now(EventType.LOGIN_FAILURE, "Login", status="failure", user_id=USER)
    audit_log.write(services.database.records, failure)
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
    def test_contains_the_entries_that_match_the_filters(self, reader, filters, count):
        assert len(reader.page(tenancy.ALL, filters, None, 10).rows) == count

    def test_of_a_client_contains_no_entry_without_a_client(self, reader):
        assert types(reader.page(CLIENT, {}, None, 10)) == ["DELIVERY_RECEIVED"] * 4

    def test_contains_no_entry_of_another_client(self, reader):
        assert types(reader.page(uuid4(), {"client_id": CLIENT}, None, 10)) == []


class TestFind:
    def test_returns_only_entries_that_the_tenant_can_see(self, reader, query):
        ((event_id,),) = query("SELECT id::text FROM audit_logs WHERE client_id IS NOT NULL LIMIT 1")

        found = [reader.find(tenant, UUID(event_id)) for tenant in (CLIENT, tenancy.ALL, uuid4())]

        assert [row and row["event_type"] for row in found] == ["DELIVERY_RECEIVED", "DELIVERY_RECEIVED", None]


# Entries of forty clients over three months. Every hundredth entry of a client has no call, and reports a failure.
ENTRIES = """
INSERT INTO audit_logs (id, created_at, event_type, severity, status, client_id, call_id, user_id, description,
                        resource, request_id)
SELECT md5(n::text)::uuid, timestamptz '2031-01-01Z' + n * interval '3 minutes',
       CASE WHEN rare THEN 'LOGIN_FAILURE' WHEN n %% 10 = 3 THEN 'RECORDING_RECEIVED' ELSE 'CALL_ENDED' END,
       CASE WHEN rare THEN 'MEDIUM' ELSE 'LOW' END, CASE WHEN rare THEN 'failure' ELSE 'success' END,
       CASE WHEN n %% 40 = 7 THEN %s::uuid ELSE md5((n %% 40)::text)::uuid END,
       CASE WHEN NOT rare THEN md5('call' || n / 4)::uuid END, CASE WHEN rare THEN %s::uuid END, 'Said',
       CASE WHEN rare THEN 'user' ELSE 'call' END, 'request-' || n
FROM (SELECT n, n / 40 %% 100 = 3 AS rare FROM generate_series(1, 40000) AS n) AS entries
"""
BEGAN = datetime(2031, 1, 1, tzinfo=UTC)
CALL = UUID(hashlib.md5(b"call5", usedforsecurity=False).hexdigest())
TWO_MONTHS = {"since": BEGAN, "until": BEGAN + timedelta(days=60)}


@pytest.fixture(scope="module")
def pool(module_database_url, module_query):
    """The pool of a database with the entries of three months."""
    parts = wiring.build(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": module_database_url}))
    with parts.database.records.transaction() as connection:
        partitions.ensure(connection, BEGAN)
    module_query(ENTRIES, str(CLIENT), str(USER))
    module_query("ANALYZE audit_logs")
    yield parts.database.records
    parts.close()


class TestQueryPlan:
    LIMIT = 100

    @pytest.mark.parametrize("depth", ["first", "deep"])
    @pytest.mark.parametrize("tenant", [tenancy.ALL, CLIENT], ids=["of all", "of a client"])
    @pytest.mark.parametrize(
        "filters",
        [
            {},
            {"client_id": CLIENT},
            {"user_id": USER},
            {"user_id": CALL},
            {"event_type": "CALL_ENDED"},
            {"event_type": "RECORDING_RECEIVED"},
            {"event_type": "LOGIN_FAILURE"},
            {"event_type": "BACKUP_FAILED"},
            {"severity": "LOW"},
            {"severity": "MEDIUM"},
            {"severity": "CRITICAL"},
            {"status": "success"},
            {"status": "failure"},
            {"resource": "call"},
            {"resource": "user"},
            {"resource": "backup"},
            {"call_id": CALL},
            {"request_id": "request-77"},
            TWO_MONTHS,
            {**TWO_MONTHS, "client_id": CLIENT, "event_type": "RECORDING_RECEIVED"},
            {**TWO_MONTHS, "client_id": CLIENT, "severity": "MEDIUM"},
        ],
        ids=str,
    )
    def test_of_a_page_reads_few_rows(self, pool, tenant, filters, depth):
        after = Place(BEGAN + timedelta(days=45), UUID(int=0)) if depth == "deep" else None

        plan = plans.of_page(pool, audit_logs, tenant, filters, after, self.LIMIT)

        assert plans.rows_passed(plan) <= 3 * self.LIMIT

    def test_skips_the_months_after_the_place(self, pool):
        place = Place(BEGAN + timedelta(days=25), UUID(int=0))

        plan = plans.of_page(pool, audit_logs, tenancy.ALL, {"since": BEGAN}, place, self.LIMIT)

        assert plans.tables_read(plan) == {"audit_logs_2031_01"}
