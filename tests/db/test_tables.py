"""The tables in PostgreSQL: names, enumerated values, and refused rows."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import get_args, get_type_hints

import psycopg2.errors
import pytest

from calyapp import clock
from calyapp.audit import audit_log
from calyapp.calls import state
from calyapp.calls.event import Route
from calyapp.calls.state import CallOutcome, CallStatus, Direction, Evidence, Phase, Source
from calyapp.db import partitions, tables
from calyapp.errors import Severity

Query = Callable[..., list[tuple]]

CALLS_WORDS = {
    "phase": Phase,
    "evidence": Evidence,
    "status": CallStatus,
    "outcome": CallOutcome,
    "direction": Direction,
}
WORDS = {
    **{("calls", column): set(words) for column, words in CALLS_WORDS.items()},
    **{("calls", f"{name}_source"): set(Source) for name in state.SOURCED},
    ("deliveries", "route"): set(Route),
    ("audit_logs", "severity"): set(Severity),
    ("audit_logs", "status"): set(get_args(get_type_hints(audit_log.Entry)["status"])),
}

MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
VALUES = {"direction": "inbound", "start_ts": MOMENT, "end_ts": MOMENT, "talk_seconds": 1, "call_seconds": 1}


def refusal(query: Query, sql: str, *values: object) -> str | None:
    """Returns the name of the check that refuses the statement."""
    with pytest.raises(psycopg2.errors.CheckViolation) as raised:
        query(sql, *values)
    return raised.value.diag.constraint_name


def insert_call(**columns: object) -> tuple[object, ...]:
    """Returns the statement and its values for a call with the required columns and these."""
    names, places = "".join(f", {name}" for name in columns), ", %s" * len(columns)
    return (
        f"INSERT INTO calls (client_id, call_sid, id, phase, evidence, status, created_at, updated_at{names}) VALUES "
        f"(gen_random_uuid(), 'sid', gen_random_uuid(), 'over', 'none', 'completed', now(), now(){places})",
        *columns.values(),
    )


def insert_delivery(digest: bytes) -> tuple[object, ...]:
    return (
        "INSERT INTO deliveries (client_id, digest, route, received_at, payload) "
        "VALUES (gen_random_uuid(), %s, 'heartbeat', now(), '{}')",
        digest,
    )


class TestNames:
    def test_of_constraints_are_made_of_table_and_columns(self, query):
        constraints = query(
            "SELECT conrelid::regclass::text, contype, conname::text, ARRAY("
            "  SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS key (number, place)"
            "  JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY place) "
            "FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND conrelid::regclass::text = ANY (%s)",
            list(tables.metadata.tables),
        )

        endings = {"u": "key", "f": "fkey"}
        expected = [
            f"{table}_pkey" if kind == "p" else f"{table}_{'_'.join(columns)}_{endings[kind]}"
            for table, kind, _, columns in constraints
        ]
        assert [name for _, _, name, _ in constraints] == expected
        assert {kind for _, kind, _, _ in constraints} == {"p", "u", "f"}

    def test_of_checks_begin_with_the_table_and_end_with_check(self, query):
        checks = query(
            "SELECT conrelid::regclass::text, conname::text FROM pg_constraint "
            "WHERE contype = 'c' AND conrelid::regclass::text = ANY (%s)",
            list(tables.metadata.tables),
        )

        assert [name for table, name in checks if not re.fullmatch(rf"{table}_[a-z0-9_]+_check", name)] == []
        assert {table for table, _ in checks} == set(tables.metadata.tables)

    def test_of_indexes_are_made_of_table_and_columns(self, query):
        indexes = query(
            "SELECT indrelid::regclass::text, indexrelid::regclass::text, ARRAY("
            "  SELECT attname::text FROM pg_attribute WHERE attrelid = indexrelid ORDER BY attnum) "
            "FROM pg_index WHERE NOT indisunique AND indrelid::regclass::text = ANY (%s)",
            list(tables.metadata.tables),
        )

        assert [name for _, name, _ in indexes] == [f"{table}_{'_'.join(columns)}_idx" for table, _, columns in indexes]
        assert len(indexes) == sum(len(table.indexes) for table in tables.metadata.tables.values())


class TestWords:
    def test_of_each_column_equal_those_of_the_code(self, query):
        definitions = {
            (table, column): query(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s",
                table,
                f"{table}_{column}_check",
            )
            for table, column in WORDS
        }

        found = {place: set(re.findall(r"'([^']+)'::text", str(rows))) for place, rows in definitions.items()}
        assert found == WORDS


class TestColumns:
    def test_with_a_source_equal_those_of_a_view(self):
        assert tuple(tables.SOURCED) == state.SOURCED


class TestCalls:
    def test_accept_a_value_with_its_source(self, query):
        known = {name: VALUES.get(name, "x") for name in state.SOURCED}

        query(*insert_call(**known, **{f"{name}_source": "api" for name in known}))

        assert query("SELECT count(*) FROM calls") == [(1,)]

    def test_refuse_a_value_without_a_source(self, query):
        refusals = [refusal(query, *insert_call(**{name: VALUES.get(name, "x")})) for name in state.SOURCED]

        assert refusals == [f"calls_{name}_has_source_check" for name in state.SOURCED]

    def test_refuse_a_source_without_a_value(self, query):
        refusals = [refusal(query, *insert_call(**{f"{name}_source": "api"})) for name in state.SOURCED]

        assert refusals == [f"calls_{name}_has_source_check" for name in state.SOURCED]


class TestDeliveries:
    def test_accept_a_digest_of_sha256(self, query):
        query(*insert_delivery(bytes(32)))

        assert query("SELECT octet_length(digest), repeats FROM deliveries") == [(32, 0)]

    def test_refuse_a_digest_of_another_length(self, query):
        for length in (0, 31, 33):
            assert refusal(query, *insert_delivery(bytes(length))) == "deliveries_digest_check"


class TestClients:
    def test_refuse_an_oldest_key_version_above_the_current_one(self, query):
        sql = (
            "INSERT INTO clients (id, name, key_version, oldest_key_version, created_at, updated_at) "
            "VALUES (gen_random_uuid(), 'Asha Dental', 1, 2, now(), now())"
        )

        assert refusal(query, sql) == "clients_key_versions_check"

    def test_refuse_a_number_that_is_not_e164(self, query):
        sql = "INSERT INTO client_numbers (number, client_id, created_at) VALUES (%s, gen_random_uuid(), now())"

        for number in ("09876543210", "+0987654321", "+91 98765 43210", "+1234567890123456", "+919876543210\n"):
            assert refusal(query, sql, number) == "client_numbers_e164_check"


class TestAuditLogs:
    @pytest.fixture
    def entries(self, query) -> list[tuple]:
        query(
            "INSERT INTO audit_logs (id, created_at, event_type, severity, status, description) "
            "VALUES (gen_random_uuid(), now(), 'CALL_STARTED', 'LOW', 'success', 'Call started')"
        )
        return query("SELECT * FROM audit_logs")

    @pytest.mark.parametrize("place", ["audit_logs", "its partition"])
    @pytest.mark.parametrize("change", ["UPDATE {} SET status = 'failure'", "DELETE FROM {}", "TRUNCATE {}"])
    def test_refuse_every_change(self, query, entries, place, change):
        table = place if place == "audit_logs" else partitions.name(clock.now())

        with pytest.raises(psycopg2.errors.RestrictViolation, match="append-only"):
            query(change.format(table))

        assert query(f"SELECT * FROM {table}") == entries
