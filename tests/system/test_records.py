"""Tests read access from outside, over two workers: every route, every kind of reader, every kind of record."""

import json
from http.client import HTTPConnection

import psycopg2
import pytest
from running_server import webhook
from sqlalchemy import make_url

LIMITS = {"RATELIMIT_API": "10000/hour", "RATELIMIT_UPLOAD": "10000/hour"}
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
OURS, THEIRS = "+918047110001", "+918047110002"
# Status by reader: for a list, a record of their own client, a record of another client, and an unknown record.
MATRIX = {
    "no token": (401, 401, 401, 401),
    "a word": (401, 401, 401, 401),
    "admin": (200, 200, 200, 404),
    "auditor": (200, 200, 200, 404),
    "auditor of one": (200, 200, 404, 404),
    "client": (200, 200, 404, 404),
    "revoked": (401, 401, 401, 401),
    "expired": (401, 401, 401, 401),
}
# Status by reader of an upload: to their own client, to another client, and to an unknown client.
MATRIX_OF_IMPORTS = {
    "no token": (401, 401, 401),
    "a word": (401, 401, 401),
    "admin": (200, 200, 404),
    "auditor": (403, 403, 403),
    "auditor of one": (403, 403, 403),
    "client": (200, 404, 404),
    "revoked": (401, 401, 401),
    "expired": (401, 401, 401),
}
SEES_ALL = ("admin", "auditor")
TABLES = ("calls", "deliveries", "audit_logs")


@pytest.fixture(scope="module")
def house(module_serve, module_query, tenant):
    """A server with one call for each of two clients, and their identifiers."""
    server = module_serve("--workers", "2", **LIMITS)
    found = {}
    for number, sid in ((OURS, "sid-of-ours"), (THEIRS, "sid-of-theirs")):
        client = tenant(server, number)
        for route, fields in (("call-start", {"From": "09876543210", "To": number}), ("call-end", {})):
            assert server.ask("POST", webhook(client, route), {"CallSid": sid, **fields})[0] == 200
        ((call_id, event_id),) = module_query(
            "SELECT calls.id::text, audit_logs.id::text FROM calls JOIN audit_logs ON call_id = calls.id "
            "WHERE call_sid = %s LIMIT 1",
            sid,
        )
        found[number] = {"client": client["id"], "sid": sid, "call": call_id, "event": event_id, "number": number}
    return server, found


@pytest.fixture(scope="module")
def tokens(house, module_query):
    """An API key for every row of the matrix."""
    server, found = house

    def key(*arguments: str) -> dict:
        return server.cli("keys", "create", "--name", "Reader", *arguments)

    own = ("--client", found[OURS]["client"])
    gone = {name: key("--role", "client", *own) for name in ("revoked", "expired")}
    server.cli("keys", "revoke", gone["revoked"]["id"])
    module_query("UPDATE api_keys SET expires_at = now() WHERE id = %s", gone["expired"]["id"])
    return {
        "no token": "",
        "a word": "Bearer word",
        "admin": "Bearer " + key("--role", "admin")["key"],
        "auditor": "Bearer " + key("--role", "auditor")["key"],
        "auditor of one": "Bearer " + key("--role", "auditor", *own)["key"],
        "client": "Bearer " + key("--role", "client", *own)["key"],
        **{name: f"Bearer {made['key']}" for name, made in gone.items()},
    }


def get(server, path: str, token: str) -> tuple[int, str]:
    connection: HTTPConnection = server.connect()
    connection.request("GET", path, headers={"Authorization": token} if token else {})
    answer = connection.getresponse()
    status, body = answer.status, answer.read().decode()
    connection.close()
    return status, body


def upload(server, client_id: str, token: str) -> int:
    connection: HTTPConnection = server.connect()
    headers = {"Content-Type": "text/csv"} | ({"Authorization": token} if token else {})
    connection.request("POST", f"/api/calls/import?clientId={client_id}", "CallSid,Status\n", headers)
    status = connection.getresponse().status
    connection.close()
    return status


def paths(known: dict) -> list[str]:
    return [f"/api/calls/{known['sid']}", f"/api/calls/{known['call']}", f"/api/audit/events/{known['event']}"]


LISTS = [
    "/api/calls",
    "/api/audit/events",
    "/api/calls?limit=1000",
    f"/api/calls?clientId={UNKNOWN}",
    "/api/audit/stats",
]
EXPORTS = ["/api/audit/export", "/api/audit/export?format=csv"]
NOWHERE = [f"/api/calls/{UNKNOWN}", "/api/calls/sid-of-nobody", f"/api/audit/events/{UNKNOWN}"]


@pytest.mark.parametrize("who", MATRIX)
class TestReaders:
    def test_get_the_status_of_the_matrix(self, house, tokens, who):
        server, found = house
        rows = ([*LISTS, *EXPORTS], paths(found[OURS]), paths(found[THEIRS]), NOWHERE)

        answers = [{get(server, path, tokens[who])[0] for path in some} for some in rows]

        assert answers == [{status} for status in MATRIX[who]]

    def test_see_nothing_of_another_client(self, house, tokens, who):
        server, found = house
        foreign = found[THEIRS]
        asked = [*LISTS, *paths(found[OURS]), *paths(foreign), *NOWHERE]
        asked += [
            f"{path}?clientId={foreign['client']}" for path in ("/api/calls", "/api/audit/events", "/api/audit/stats")
        ]

        bodies = [get(server, path, tokens[who])[1] for path in asked]
        exported = [get(server, path, tokens[who])[1] for path in EXPORTS]

        seen = {name for name, secret in foreign.items() if any(secret in body for body in (*bodies, *exported))}
        assert seen == (set(foreign) if who in SEES_ALL else set())
        assert all(isinstance(json.loads(body), dict) for body in bodies)


@pytest.mark.parametrize("who", MATRIX_OF_IMPORTS)
def test_uploads_are_accepted_only_with_write_access_to_the_client(house, tokens, who):
    server, found = house

    statuses = [upload(server, id_, tokens[who]) for id_ in (found[OURS]["client"], found[THEIRS]["client"], UNKNOWN)]

    assert tuple(statuses) == MATRIX_OF_IMPORTS[who]


class TestDatabase:
    @pytest.fixture
    def as_reader(self, house, module_database_url):
        """`as_reader(tenant)` returns, for each table, every row that the role can read, as text."""
        plain = make_url(module_database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg2.connect(plain)

        def read(tenant: str | None) -> dict[str, str]:
            with connection, connection.cursor() as cursor:
                cursor.execute("SET LOCAL ROLE caly_reader")
                if tenant is not None:
                    cursor.execute("SELECT set_config('caly.tenant', %s, true)", (tenant,))
                seen = {}
                for table in TABLES:
                    cursor.execute(f"SELECT * FROM {table}")
                    seen[table] = str(cursor.fetchall())
            return seen

        yield read
        connection.close()

    def test_shows_no_row_of_another_tenant(self, house, as_reader):
        _, found = house

        seen = as_reader(found[OURS]["client"])

        assert [table for table in TABLES if found[OURS]["client"] not in seen[table]] == []
        assert [table for table in TABLES for secret in found[THEIRS].values() if secret in seen[table]] == []

    @pytest.mark.parametrize("setting", [None, "", "nonsense"])
    def test_shows_no_row_without_a_valid_tenant(self, as_reader, setting):
        assert as_reader(setting) == dict.fromkeys(TABLES, "[]")
