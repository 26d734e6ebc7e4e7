"""What all lists of records share, tested with the list of calls; and access to records on every route."""

import pytest
import sample_records

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
LISTS = ("/api/calls", "/api/audit/events")


@pytest.fixture
def filled(app, query):
    """Three calls of one client (`ours`), and an id of a second one (`other`)."""
    sample_records.fill(query, calls=3)
    other = app.extensions["caly"].clients.add("Banyan Dental", []).id
    ((ours,),) = query("SELECT id::text FROM clients WHERE name LIKE 'नमस्ते%%'")
    return ours, other


@pytest.fixture
def get(client):
    """`get(path, headers, **query)`: status and JSON."""

    def ask(path, headers, **query):
        answer = client.get(path, headers=headers, query_string=query)
        return answer.status_code, answer.get_json()

    return ask


@pytest.mark.parametrize("path", LISTS)
class TestPages:
    def test_lead_through_the_whole_list(self, get, user, filled, path):
        seen, query = [], {"limit": 2, "clientId": filled[0]}
        admin = user("admin")

        for _ in range(3 if path == "/api/calls" else 8):
            status, body = get(path, admin, **query)
            assert status == 200
            seen += [item["id"] for item in body["items"]]
            if body["next"] is None:
                break
            query["cursor"] = body["next"]

        assert len(seen) == len(set(seen)) == (3 if path == "/api/calls" else 12)

    @pytest.mark.parametrize(
        "change",
        [{"cursor": "A" * 56}, {"limit": 3, "since": "2026-01-01T00:00:00Z"}, {"status": "failure"}],
        ids=["forged", "one filter more", "another"],
    )
    def test_refuse_a_cursor_of_another_list(self, get, user, filled, path, change):
        admin = user("admin")
        cursor = get(path, admin, limit=1)[1]["next"]
        if path == "/api/calls" and "status" in change:
            change = {"status": "failed"}

        status, body = get(path, admin, **{"cursor": cursor, **change})

        assert (status, list(body["error"]["details"])) == (400, ["cursor"])

    def test_refuse_a_cursor_of_a_principal_with_more_access(self, get, user, filled, path):
        cursor = get(path, user("admin"), limit=1)[1]["next"]

        assert get(path, user("client", filled[0]), limit=1, cursor=cursor)[0] == 400

    def test_report_all_errors_together(self, get, user, filled, path):
        wrong = {"limit": 0, "clientId": "x", "since": "yesterday", "until": "2026-13-01T00:00:00Z", "sort": "id"}

        status, body = get(path, user("admin"), **wrong, status="lost")

        assert (status, set(body["error"]["details"])) == (400, {*wrong, "status"})

    @pytest.mark.parametrize("limit", ["1001", "1.5", "-1", ""])
    def test_have_1_to_1000_items(self, get, user, filled, path, limit):
        assert get(path, user("admin"), limit=limit)[0] == 400
        assert get(path, user("admin"), limit=1000)[0] == 200

    def test_of_another_client_are_empty(self, get, user, filled, path):
        ours, other = filled

        assert get(path, user("client", other), clientId=ours) == (200, {"items": [], "next": None})


class TestAccess:
    ACCESSED = (
        "SELECT client_id::text, resource_id, metadata->'principal'->>'role' FROM audit_logs "
        "WHERE event_type = 'DATA_ACCESSED' ORDER BY created_at"
    )

    @pytest.mark.parametrize("role", ["admin", "auditor"])
    def test_to_one_clients_records_is_audited_once(self, get, user, filled, query, role):
        reader = user(role)

        for path in (*LISTS, "/api/calls/call-1"):
            for _ in range(3):
                assert get(path, reader, **({} if "call-1" in path else {"clientId": filled[0]}))[0] == 200

        expected = ["/api/calls", "/api/audit/events", "/api/calls/<name>"]
        assert query(self.ACCESSED) == [(filled[0], route, role) for route in expected]

    def test_to_own_records_or_to_all_is_not_audited(self, get, user, filled, query):
        for path in LISTS:
            get(path, user("client", filled[0]))
            get(path, user("admin"))

        assert query(self.ACCESSED) == []


WHO = {
    "admin": (200, 200),
    "auditor of all": (200, 200),
    "auditor": (200, 404),
    "client": (200, 404),
    "nobody": (401, 401),
    "revoked": (401, 401),
}


@pytest.fixture
def who(user, api_key, filled, query):
    """`who(name)`: the header of a principal who may read only the second client, or all."""
    _, other = filled

    def header(name):
        if name == "nobody":
            return {}
        if name == "revoked":
            revoked = api_key("client", other)
            query("UPDATE api_keys SET revoked_at = now()")
            return revoked
        return user(name.split()[0], None if name in ("admin", "auditor of all") else other)

    return header


class TestMatrix:
    @pytest.mark.parametrize("name", WHO)
    def test_shows_each_principal_only_its_records(self, client, who, filled, query, name):
        # The records belong to the first client, which principals of the second must not read.
        headers = who(name)
        ((call_id, event_id),) = query(
            "SELECT calls.id::text, audit_logs.id::text FROM calls, audit_logs WHERE call_sid = 'call-1' LIMIT 1"
        )
        paths = [*LISTS, "/api/calls/call-1", f"/api/calls/{call_id}", f"/api/audit/events/{event_id}"]
        paths += ["/api/audit/stats", f"/api/audit/stats?clientId={filled[0]}"]

        answers = [client.get(path, headers=headers) for path in paths]

        of_lists, of_others = WHO[name]
        assert [answer.status_code for answer in answers] == [of_lists] * 2 + [of_others] * 3 + [of_lists] * 2
        if of_others != 200:
            texts = "".join(answer.get_data(as_text=True) for answer in answers)
            assert [secret for secret in (filled[0], "+9198000", "call-1", event_id) if secret in texts] == []

    @pytest.mark.parametrize(
        "path", ["calls/unknown", "calls/a%00b", "audit/events/01890a5d-ac96-774b-bcce-b302099a8057"]
    )
    def test_answers_404_for_an_unknown_record(self, get, user, path):
        assert get(f"/api/{path}", user("admin"))[0] == 404
