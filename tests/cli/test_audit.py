import json
from uuid import UUID

import pytest

from calyapp import clock
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType

UNKNOWN = UUID(int=1)


@pytest.fixture
def failure(app, asha):
    """The audit entry of 30 failed logins of a client's user within one second."""
    entry = Entry.now(
        EventType.LOGIN_FAILURE,
        "Wrong e-mail address or password",
        status="failure",
        client_id=UUID(asha["id"]),
        request_id="1795339800000-k3v9x2mq7",
        user_agent="curl/7\x1b[31m",
        metadata={"count": 30},
    )
    audit_log.write(app.extensions["caly"].database.records, entry)
    return entry


class TestList:
    def test_prints_count_and_client_of_an_entry(self, caly, failure):
        result = caly("audit", "list", "--event-type", "login_failure")

        (names, row) = (line.split() for line in result.stdout.splitlines())
        assert names == ["createdAt", "eventType", "severity", "status", "count", "client", "description", "id"]
        assert row[1:7] == ["LOGIN_FAILURE", "MEDIUM", "failure", "30", "Asha", "Clinics"]
        assert row[-1] == str(failure.id)

    @pytest.mark.parametrize(
        ("options", "query"),
        [
            ((), ""),
            (("--severity", "medium", "--status", "failure", "--limit", "1"), "severity=MEDIUM&status=failure&limit=1"),
            (("--event-type", "DATA_CREATED"), "eventType=DATA_CREATED"),
            (("--request-id", "1795339800000-k3v9x2mq7"), "requestId=1795339800000-k3v9x2mq7"),
            (("--user", UNKNOWN), f"userId={UNKNOWN}"),
            (("--call-id", UNKNOWN), f"callId={UNKNOWN}"),
            (("--resource", "client"), "resource=client"),
            (("--until", "2026-01-01"), "until=2026-01-01T00:00:00Z"),
        ],
    )
    @pytest.mark.usefixtures("failure")
    def test_prints_the_api_response_as_json(self, told, api, options, query):
        assert told("audit", "list", *options) == api(f"/api/audit/events?{query}")

    @pytest.mark.usefixtures("failure")
    def test_continues_from_the_printed_cursor(self, caly):
        first = caly("audit", "list", "--limit", "1")
        cursor = first.stderr.split()[-1]

        second = caly("audit", "list", "--limit", "1", "--cursor", cursor)

        assert "For the next page," in first.stderr
        assert (second.exit_code, second.stdout.splitlines()[1:] == first.stdout.splitlines()[1:]) == (0, False)

    def test_fails_for_an_unknown_client(self, caly):
        result = caly("audit", "list", "--client", UNKNOWN)

        assert (result.exit_code, result.stdout) == (1, "")
        assert "client" in result.stderr

    def test_is_audited_if_it_is_limited_to_a_client(self, caly, asha, query):
        caly("audit", "list", "--client", asha["id"])
        caly("audit", "list")

        assert query("SELECT client_id::text, resource_id FROM audit_logs WHERE event_type = 'DATA_ACCESSED'") == [
            (asha["id"], "audit list")
        ]


class TestShow:
    def test_prints_all_fields_and_escapes_control_characters(self, caly, asha, failure):
        result = caly("audit", "show", failure.id)

        shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
        assert (shown["id"], shown["clientId"]) == (str(failure.id), f"{asha['id']} (Asha Clinics)")
        assert (shown["metadata"], shown["userAgent"]) == ("count=30", r"curl/7\x1b[31m")

    def test_prints_the_api_response_as_json(self, told, api, failure):
        shown = told("audit", "show", failure.id)

        assert shown == api(f"/api/audit/events/{failure.id}")
        assert shown["createdAt"] == clock.iso(failure.created_at)

    def test_fails_for_an_unknown_entry(self, caly):
        result = caly("audit", "show", UNKNOWN)

        assert result.exit_code == 1
        assert result.stderr == f"Error: There is no audit entry {UNKNOWN}; see `flask caly audit list`.\n"


def test_json_of_a_list_has_the_structure_of_a_page(caly, failure):
    page = json.loads(caly("audit", "list", "--json", "--limit", "1").stdout)

    assert ([item["id"] for item in page["items"]], bool(page["next"])) == ([str(failure.id)], True)
