"""Fills a database with calls and everything that belongs to them, and fingerprints tables to compare databases.

Imports nothing of calyapp.
"""

from collections.abc import Callable
from uuid import UUID

Query = Callable[..., list[tuple]]

CLIENT_ID = UUID("5a0c9f1e-8f43-4c5d-9d6f-0d1f3e1c2b4a")
"""The client that owns all records."""

_CLIENT = "INSERT INTO clients (id, name, created_at, updated_at) VALUES (%s, 'नमस्ते Clinics', now(), now())"
_NUMBER = """
INSERT INTO client_numbers (number, client_id, created_at) SELECT '+918047112345', id, now() FROM clients
"""
_CALLS = """
INSERT INTO calls (client_id, call_sid, id, phase, evidence, status, outcome, duration_seconds, phone_from,
                   phone_from_source, start_ts, start_ts_source, created_at, updated_at)
SELECT clients.id, 'call-' || n, md5('call-' || n)::uuid, 'over', 'answered', 'completed', 'answered', n %% 600,
       '+9198' || lpad(n::text, 8, '0'), 'arrival', now() - n * interval '1 second', 'arrival', now(), now()
FROM clients, generate_series(1, %s) AS n
"""
_DELIVERIES = """
INSERT INTO deliveries (client_id, digest, call_id, route, received_at, payload)
SELECT client_id, sha256(convert_to(call_sid || route, 'UTF8')), id, route, start_ts,
       jsonb_build_object('CallSid', call_sid, 'From', phone_from, 'To', '08047112345', 'CallStatus', status,
                          'Direction', 'incoming', 'RecordingUrl', 'https://example.com/' || md5(call_sid || route))
FROM calls, unnest(ARRAY['call-start', 'call-status', 'call-end', 'recording']) AS route
"""
_ENTRIES = """
INSERT INTO audit_logs (id, created_at, event_type, severity, status, client_id, call_id, description, ip_address,
                        request_id, metadata)
SELECT gen_random_uuid(), now(), 'DELIVERY_RECEIVED', 'LOW', 'success', client_id, call_id, 'Delivery received',
       '203.0.113.7', '1700000000000-' || left(md5(encode(digest, 'hex')), 9),
       jsonb_build_object('digest', encode(digest, 'hex'), 'route', route)
FROM deliveries
"""
_TABLES = """
SELECT relid::text FROM pg_partition_tree('audit_logs') WHERE isleaf UNION ALL
VALUES ('clients'), ('client_numbers'), ('calls'), ('deliveries'), ('alembic_version') ORDER BY 1
"""


def fill(query: Query, calls: int) -> None:
    """Inserts `calls` calls of one client, with four deliveries and four audit entries each."""
    query(_CLIENT, str(CLIENT_ID))
    query(_NUMBER)
    query(_CALLS, calls)
    query(_DELIVERIES)
    query(_ENTRIES)


def fingerprints(query: Query, ignoring: str = "false") -> dict[str, tuple]:
    """Returns the row count and a hash over all rows of each table, and of each partition of the audit log.

    Ignores the audit entries for which the SQL condition `ignoring` is true.
    """
    return {table: _fingerprint(query, table, ignoring) for (table,) in query(_TABLES)}


def _fingerprint(query: Query, table: str, ignoring: str) -> tuple:
    condition = f"WHERE NOT ({ignoring})" if table.startswith("audit_logs") else ""
    rows = f"SELECT md5(t::text) AS row FROM {table} AS t {condition}"
    return query(f"SELECT count(*), md5(string_agg(row, '' ORDER BY row)) FROM ({rows}) AS rows")[0]
