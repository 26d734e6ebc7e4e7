"""Imports of CDR exports through the application."""

import io
import resource
from contextlib import contextmanager

import pytest

from calyapp.web.api.imports import MAX_FILE_BYTES

PATH = "/api/calls/import"
HEADER = "CallSid,From,To,Status,ConversationDuration\n"
FILE = HEADER + "s1,09876543210,08047112345,completed,45\ns2,09876543211,=1+1,busy,\n"
CSV = "text/csv"


@pytest.fixture
def asha(user, tenant):
    """A user of the tenant."""
    return user("client", tenant.id)


@pytest.fixture
def upload(client):
    """`upload(headers, content, **query)`: the answer to a CSV body."""

    def post(headers, content=FILE, content_type=CSV, **query):
        body = {"data": content, "content_type": content_type}
        return client.post(PATH, headers=headers, query_string=query, buffered=True, **body)

    return post


@pytest.fixture
def in_form(client):
    """`in_form(headers, content)`: the answer to a form with this file."""

    def post(headers, content: bytes):
        head = b'--it\r\nContent-Disposition: form-data; name="file"; filename="cdr.csv"\r\n\r\n'
        body = {"data": head + content + b"\r\n--it--\r\n", "content_type": "multipart/form-data; boundary=it"}
        return client.post(PATH, headers=headers, buffered=True, **body)

    return post


@pytest.fixture
def stored(query):
    """`stored()`: the CallSids of all calls."""
    return lambda: [row[0] for row in query("SELECT call_sid FROM calls ORDER BY 1")]


class TestImport:
    def test_reports_every_row_and_their_sum(self, upload, asha, stored):
        answer = upload(asha, FILE + ",1,2,busy,\n")

        assert (answer.status_code, answer.content_type) == (200, "application/json")
        assert answer.json["rows"][:2] == [
            {"line": 2, "callSid": "s1", "result": "new"},
            {"line": 3, "callSid": "s2", "result": "new"},
        ]
        assert set(answer.json["rows"][2]) == {"line", "callSid", "result", "message"}
        assert answer.json["summary"] == {"new": 2, "repeat": 0, "rejected": 1, "notTried": 0, "complete": True}
        assert stored() == ["s1", "s2"]

    def test_accepts_a_file_in_a_form(self, in_form, asha, stored):
        answer = in_form(asha, FILE.encode())

        assert (answer.status_code, stored()) == (200, ["s1", "s2"])

    @pytest.mark.parametrize(
        "fields",
        [{}, {"other": "x"}, {"file": "a text"}, {"file": (io.BytesIO(b"CallSid\ns1"), "a"), "clientId": "x"}],
        ids=["none", "another", "no file", "two"],
    )
    def test_accepts_no_other_form(self, client, asha, fields):
        answer = client.post(PATH, headers=asha, data=fields, content_type="multipart/form-data")

        assert (answer.status_code, "text/csv" in answer.json["error"]["message"]) == (400, True)

    @pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
    def test_accepts_only_csv(self, upload, asha, content_type):
        assert upload(asha, content_type=content_type).status_code == 400

    @pytest.mark.parametrize(
        ("content", "where"),
        [
            (b"", "file"),
            (b"From,From\n1,2\n", "header"),
            (b"CallSid\ns1\ns2,2\n", "line 3"),
            (b'CallSid\ns1\n"s2', "line 3"),
            (b"CallSid\ns1\n\xff", "line 3"),
        ],
        ids=["empty", "header", "cells", "quote", "encoding"],
    )
    def test_records_nothing_of_a_file_with_an_error(self, upload, asha, query, content, where):
        answer = upload(asha, content)

        assert (answer.status_code, set(answer.json["error"]["details"])) == (400, {where})
        assert query("SELECT 1 FROM deliveries UNION ALL SELECT 1 FROM audit_logs WHERE event_type ~ 'IMPORTED'") == []

    def test_is_audited(self, upload, asha, tenant, query):
        upload(asha)

        ((client_id, metadata),) = query(
            "SELECT client_id::text, metadata FROM audit_logs WHERE event_type = 'DATA_IMPORTED'"
        )
        assert (client_id, metadata["rows"], metadata["bytes"]) == (str(tenant.id), 2, len(FILE))
        assert (metadata["via"], metadata["principal"]["role"]) == ("api", "client")
        assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'CALL_IMPORTED'") == [(2,)]

    def test_begins_only_after_it_is_audited(self, upload, asha, query, stored):
        query("ALTER TABLE audit_logs RENAME TO elsewhere")
        answers = [upload(asha).status_code for _ in range(3)]
        query("ALTER TABLE elsewhere RENAME TO audit_logs")

        assert (answers, stored()) == ([500] * 3, [])
        assert upload(asha).status_code == 200

    def test_runs_one_at_a_time(self, client, asha):
        running = client.post(PATH, headers=asha, data=FILE, content_type=CSV, buffered=False)
        second = client.post(PATH, headers=asha, data=FILE, content_type=CSV)
        running.close()
        third = client.post(PATH, headers=asha, data=FILE, content_type=CSV, buffered=True)

        assert [second.status_code, third.status_code] == [429, 200]


@contextmanager
def no_file_larger_than(size: int):
    """The system refuses further writes to any file, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestSize:
    @pytest.fixture
    def edge(self):
        """A file of exactly the largest size, filled by the last cells of its rows."""
        rows = "".join(f"s{n},1,2,busy,{'x' * 100_000}\n" for n in range(104))
        return (HEADER + rows).encode().ljust(MAX_FILE_BYTES - 1, b"x") + b"\n"

    def test_may_be_ten_mebibytes(self, upload, in_form, asha, edge):
        assert [send(asha, edge).status_code for send in (upload, in_form)] == [200, 200]

    def test_may_not_be_one_byte_larger(self, upload, in_form, asha, edge, stored):
        answers = [send(asha, edge + b"\n" * more) for send in (upload, in_form) for more in (1, 100_000)]

        assert {(answer.status_code, answer.json["error"]["code"]) for answer in answers} == {
            (413, "PAYLOAD_TOO_LARGE")
        }
        assert stored() == []

    @pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
    def test_counts_in_chunks_too(self, client, asha, edge, more, status):
        body = io.BytesIO(edge + b"\n" * more)
        chunked = {"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}

        answer = client.post(PATH, headers=asha, content_type=CSV, environ_overrides=chunked, buffered=True)

        assert answer.status_code == status

    def test_is_that_of_the_content_length(self, client, asha, stored):
        cut = {"wsgi.input": io.BytesIO(FILE.encode()), "CONTENT_LENGTH": "9999", "wsgi.input_terminated": True}

        answer = client.post(PATH, headers=asha, content_type=CSV, environ_overrides=cut)

        assert (answer.status_code, stored()) == (400, [])

    def test_is_a_server_error_if_the_disk_is_full(self, upload, asha, edge, stored):
        with no_file_larger_than(MAX_FILE_BYTES // 2):
            failed = upload(asha, edge)

        assert (failed.status_code, stored()) == (500, [])
        assert upload(asha).status_code == 200

    def test_of_other_routes_stays_what_it_was(self, client, asha, edge):
        assert client.post("/api/auth/password", headers=asha, data=edge).status_code == 413


class TestRoles:
    def test_an_admin_names_the_client(self, upload, user, tenant, query):
        admin = user("admin")

        unnamed = upload(admin)
        answer = upload(admin, clientId=tenant.id)

        assert (unnamed.status_code, set(unnamed.json["error"]["details"])) == (400, {"clientId"})
        assert answer.status_code == 200
        assert query("SELECT DISTINCT client_id::text FROM calls") == [(str(tenant.id),)]

    def test_an_auditor_changes_nothing(self, upload, user, tenant, stored):
        for auditor in (user("auditor"), user("auditor", tenant.id)):
            assert upload(auditor, clientId=tenant.id).status_code == 403
        assert stored() == []

    def test_another_client_is_not_found(self, app, upload, user, asha, tenant, stored):
        other = app.extensions["caly"].clients.add("Banyan Dental", []).id
        unknown = "01890a5d-ac96-774b-bcce-b302099a8057"

        answers = [
            upload(asha, clientId=other),
            upload(asha, clientId=unknown),
            upload(user("admin"), clientId=unknown),
        ]

        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert len({answer.json["error"]["message"] for answer in answers}) == 1
        assert (stored(), upload(asha, clientId=tenant.id).status_code) == ([], 200)

    def test_invalid_parameters_are_named(self, upload, asha):
        answer = upload(asha, clientId="x", dryRun="1")

        assert (answer.status_code, set(answer.json["error"]["details"])) == (400, {"clientId", "dryRun"})

    def test_ten_uploads_an_hour_are_allowed(self, upload, asha):
        statuses = [upload(asha).status_code for _ in range(11)]

        assert statuses == [200] * 10 + [429]
