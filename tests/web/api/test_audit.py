"""The audit log over HTTP: one entry, and counts."""

from datetime import date, timedelta

import pytest


class TestShow:
    def test_equals_the_entry_in_the_list(self, client, deliver, start, user, tenant):
        deliver("call-start", **start)
        reader = user("client", tenant.id)

        (listed,) = client.get("/api/audit/events?eventType=CALL_STARTED", headers=reader).get_json()["items"]
        shown = client.get(f"/api/audit/events/{listed['id']}", headers=reader).get_json()

        assert shown == listed
        assert (shown["eventType"], shown["clientId"]) == ("CALL_STARTED", str(tenant.id))


class TestStats:
    @pytest.fixture
    def stats(self, client):
        """`stats(headers, **query)`: status and JSON."""

        def ask(headers, **query):
            answer = client.get("/api/audit/stats", headers=headers, query_string=query)
            return answer.status_code, answer.get_json()

        return ask

    def test_count_a_tenants_events_by_type_and_day(self, stats, deliver, start, user, tenant):
        deliver("call-start", **start)
        deliver("call-start", **start)

        status, shown = stats(user("client", tenant.id))

        today = date.fromisoformat(shown.pop("asOf")[:10])
        assert status == 200
        assert shown == {
            "since": (today - timedelta(days=29)).isoformat(),
            "until": (today + timedelta(days=1)).isoformat(),
            "types": {"CALL_STARTED": 1, "DATA_CREATED": 1, "LOGIN_SUCCESS": 1, "USER_CREATED": 1},
            "severities": {"LOW": 3, "MEDIUM": 1},
            "statuses": {"success": 4},
            "days": {today.isoformat(): 4},
        }

    def test_of_one_client_are_visible_to_its_readers(self, stats, deliver, start, user, tenant, services):
        deliver("call-start", **start)
        other = services.clients.add("Banyan Dental", []).id

        found = [
            stats(user(role, own), clientId=tenant.id)[1]["types"].get("CALL_STARTED")
            for role, own in (("admin", None), ("auditor", None), ("auditor", other), ("client", other))
        ]

        assert found == [1, 1, None, None]

    def test_of_one_client_are_audited_when_read(self, stats, user, tenant, query):
        stats(user("auditor"), clientId=tenant.id)

        accessed = "SELECT client_id::text, resource_id FROM audit_logs WHERE event_type = 'DATA_ACCESSED'"
        assert query(accessed) == [(str(tenant.id), "/api/audit/stats")]

    @pytest.mark.parametrize(
        ("asked", "wrong"),
        [
            ({"since": "2026-01-01", "until": "2026-01-01"}, ["since"]),
            ({"since": "2026-01-02", "until": "2026-01-01"}, ["since"]),
            ({"since": "2025-01-01", "until": "2026-01-03"}, ["since"]),
            ({"since": "2001-01-01"}, ["since"]),
            ({"since": "yesterday", "until": "2026-02-30", "clientId": "x"}, ["clientId", "since", "until"]),
            ({"since": "2026-01-01T00:00:00Z"}, ["since"]),
            ({"until": "0001-01-01"}, ["until"]),
            ({"limit": "1"}, ["limit"]),
        ],
        ids=str,
    )
    def test_refuse_invalid_parameters_and_name_them(self, stats, user, asked, wrong):
        status, answer = stats(user("admin"), **asked)

        assert (status, list(answer["error"]["details"])) == (400, wrong)

    @pytest.mark.parametrize(
        ("asked", "days"),
        [
            ({"since": "2025-01-01", "until": "2026-01-02"}, ["2025-01-01", "2026-01-02"]),
            ({"until": "2026-03-01"}, ["2026-01-30", "2026-03-01"]),
            ({"until": "2000-01-01"}, ["1999-12-02", "2000-01-01"]),
        ],
        ids=str,
    )
    def test_accept_up_to_366_days_and_default_to_30(self, stats, user, asked, days):
        status, answer = stats(user("admin"), **asked)

        assert (status, [answer["since"], answer["until"]]) == (200, days)
