from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from calyapp.app import create_app
from calyapp.calls.event import Route
from calyapp.config import Settings

ROUTES = [route.value for route in Route if route is not Route.CDR]


def without_token(url: str) -> str:
    return url.partition("&token=")[0]


class TestCallStart:
    def test_is_answered_with_the_stream_of_the_recorded_call(self, deliver, start, query):
        answer = deliver("call-start", **start)

        ((call_id, status, phone_from, phone_to),) = query("SELECT id::text, status, phone_from, phone_to FROM calls")
        assert answer.status_code == 200
        assert parse_qs(urlsplit(answer.json["url"]).query)["callId"] == [call_id]
        assert (status, phone_from, phone_to) == ("initiated", "+919876543210", "+918047112345")

    def test_repeated_is_one_call_and_the_same_stream(self, deliver, start, query):
        first, second = deliver("call-start", **start), deliver("call-start", **start)

        assert first.status_code == second.status_code == 200
        assert without_token(first.json["url"]) == without_token(second.json["url"])
        assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'CALL_STARTED'") == [(1,)]
        assert query("SELECT repeats FROM deliveries") == [(1,)]

    def test_in_other_encodings_is_the_same_delivery(self, client, deliver, tenant, start, query):
        url, key = "/webhooks/exotel/call-start", {"key": tenant.key}
        deliver("call-start", **start)

        client.get(url, query_string=key | start)
        client.post(url, query_string=key, json=start)
        client.post(url, query_string=key, data=start, content_type="multipart/form-data")
        client.post(url + "/", query_string=key | {"From": start["From"]}, data={**start} | {})

        assert query("SELECT repeats FROM deliveries ORDER BY repeats") == [(0,), (3,)]

    def test_uses_the_greeting_of_the_client(self, deliver, start, tenant, query, app):
        query("UPDATE clients SET say_text = 'Vanakkam' WHERE id = %s", str(tenant.id))
        app.extensions["caly"].directory.refresh()

        assert deliver("call-start", **start).json["Response"]["Say"]["_text"] == "Vanakkam"


class TestWholeCall:
    def test_is_recorded_until_its_end(self, deliver, start, query):
        link = "https://recordings.exotel.com/1.mp3"
        deliver("call-start", Direction="incoming", **start)
        ringing = deliver("call-status", CallSid="sid-1", CallStatus="ringing")
        talking = deliver("call-status", CallSid="sid-1", CallStatus="in-progress")
        ended = deliver("call-end", CallSid="sid-1", CallStatus="completed", CallDuration="61")
        recorded = deliver("recording", CallSid="sid-1", RecordingUrl=link, RecordingDuration="58")

        assert ringing.json == {"success": True, "status": "ringing"}
        assert talking.json == {"success": True, "status": "in-progress"}
        assert ended.json == {"success": True, "message": "Call recorded"}
        assert recorded.json == {"success": True}
        assert query("SELECT status, outcome, direction, duration_seconds, recording_url FROM calls") == [
            ("completed", "answered", "inbound", 61, link)
        ]
        assert query("SELECT event_type, status, resource FROM audit_logs WHERE call_id IS NOT NULL ORDER BY id") == [
            ("CALL_STARTED", "success", "call"),
            ("CALL_STATUS_CHANGED", "success", "call"),
            ("CALL_STATUS_CHANGED", "success", "call"),
            ("CALL_ENDED", "success", "call"),
            ("RECORDING_RECEIVED", "success", "call"),
        ]

    def test_is_not_reopened_by_late_deliveries(self, deliver, query):
        deliver("call-end", CallSid="sid-1", CallStatus="completed")

        late = deliver("call-status", CallSid="sid-1", CallStatus="ringing")

        assert late.json["status"] == "completed"

    def test_without_a_start_is_created_by_its_first_delivery(self, deliver, query):
        deliver("call-status", CallSid="unheard-of", CallStatus="busy")

        assert query("SELECT call_sid, status, outcome FROM calls") == [("unheard-of", "busy", "rejected")]

    def test_ended_by_a_status_is_audited_as_ended(self, deliver, query):
        deliver("call-status", CallSid="sid-1", CallStatus="no-answer")

        assert query("SELECT event_type FROM audit_logs WHERE call_id IS NOT NULL") == [("CALL_ENDED",)]


class TestAuditEntry:
    def test_contains_sender_content_time_and_request_id(self, client, tenant, start, query):
        answer = client.post(
            "/webhooks/exotel/call-start",
            query_string={"key": tenant.key},
            data=start,
            headers={"User-Agent": "Exotel 09876543210"},
            environ_base={"REMOTE_ADDR": "203.0.113.9"},
        )

        ((request_id, address, agent, client_id, metadata, digest),) = query(
            "SELECT request_id, host(ip_address), user_agent, a.client_id::text, metadata, encode(digest, 'hex') "
            "FROM audit_logs a JOIN deliveries USING (call_id)"
        )
        assert request_id == answer.headers["X-Request-ID"]
        assert address == "203.0.113.9"
        assert agent == "Exotel *********10"
        assert client_id == str(tenant.id)
        assert metadata == {"route": "call-start", "callSid": "sid-1", "digest": digest}

    def test_keeps_the_address_of_the_peer_despite_forged_headers(self, client, tenant, start, query):
        client.post(
            "/webhooks/exotel/call-start",
            query_string={"key": tenant.key},
            data=start,
            headers={"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7", "X-Real-IP": "198.51.100.7"},
            environ_base={"REMOTE_ADDR": "203.0.113.9"},
        )

        assert query("SELECT host(ip_address) FROM audit_logs WHERE call_id IS NOT NULL") == [("203.0.113.9",)]

    @pytest.mark.parametrize(
        ("peer", "kept"), [("", None), ("fe80::1%eth0", "fe80::1"), ("::ffff:10.0.0.1", "10.0.0.1")]
    )
    def test_accepts_every_kind_of_peer_address(self, client, tenant, start, query, peer, kept):
        url = "/webhooks/exotel/call-start"

        answer = client.post(url, query_string={"key": tenant.key}, data=start, environ_base={"REMOTE_ADDR": peer})

        assert answer.status_code == 200
        ((address,),) = query("SELECT host(ip_address) FROM audit_logs WHERE call_id IS NOT NULL")
        assert address == kept


class TestOtherRoutes:
    def test_passthru_feeds_the_record_without_ending_the_call(self, deliver, query):
        assert deliver("passthru", CallSid="sid-1", CallStatus="completed").json == {"success": True}
        assert query("SELECT status, evidence FROM calls") == [("in-progress", "completed")]
        assert query("SELECT event_type FROM audit_logs WHERE call_id IS NOT NULL") == [("DELIVERY_RECEIVED",)]

    def test_heartbeat_is_kept_and_makes_no_call(self, client, tenant, query):
        beat = {"status_type": "OK", "data": {"phn-1": {"incoming_call": {"status": "active"}}}}

        answer = client.post("/webhooks/exotel/heartbeat", query_string={"key": tenant.key}, json=beat)

        assert answer.json == {"success": True}
        assert query("SELECT payload FROM deliveries") == [
            ({"status_type": "OK", "data[phn-1][incoming_call][status]": "active"},)
        ]
        assert query("SELECT count(*) FROM calls") == [(0,)]

    @pytest.mark.parametrize("route", ROUTES)
    def test_answer_head_and_record_nothing(self, client, tenant, query, route):
        answer = client.head(f"/webhooks/exotel/{route}", query_string={"key": tenant.key, "CallSid": "s"})

        assert (answer.status_code, answer.content_type) == (200, "application/json")
        assert query("SELECT count(*) FROM deliveries") == [(0,)]

    @pytest.mark.parametrize("route", ROUTES)
    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_accept_no_other_method(self, client, tenant, route, method, slash):
        answer = client.open(f"/webhooks/exotel/{route}{slash}", method=method, query_string={"key": tenant.key})

        assert answer.status_code == 405
        assert answer.json["error"]["code"] == "METHOD_NOT_ALLOWED"
        assert "POST" in answer.headers["Allow"]

    @pytest.mark.parametrize("path", ["/webhooks/exotel//call-start", "//webhooks/exotel/call-start", "/webhooks"])
    def test_never_redirect(self, client, path):
        assert client.post(path).status_code == 404


class TestRefusal:
    """Only the audit entry about the rejection is stored."""

    def test_names_every_invalid_field(self, deliver, query):
        answer = deliver("call-start", CallSid="a b", To="1")

        assert answer.status_code == 400
        assert answer.json["error"]["code"] == "VALIDATION_ERROR"
        assert set(answer.json["error"]["details"]) == {"CallSid", "From"}
        assert query("SELECT count(*) FROM deliveries") == query("SELECT count(*) FROM calls") == [(0,)]
        assert query("SELECT event_type, status, metadata->>'code' FROM audit_logs WHERE status = 'failure'") == [
            ("WEBHOOK_REJECTED", "failure", "VALIDATION_ERROR")
        ]

    def test_is_audited_immediately_and_then_with_a_count(self, deliver, query, app):
        for _ in range(20):
            deliver("call-start", CallSid="a b")
        app.extensions["caly"].throttled_audit_log._clock = lambda: 1e12
        app.extensions["caly"].throttled_audit_log.flush()

        counts = query("SELECT metadata->'count' FROM audit_logs WHERE event_type = 'WEBHOOK_REJECTED' ORDER BY id")
        assert counts == [(1,), (19,)]

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            (b'{"CallSid":', "application/json", 400),
            (b"[1]", "application/json", 400),
            (b'{"CallSid": ["s"], "CallStatus": "busy"}', "application/json", 400),
            (b'{"CallSid": {"a": "s"}, "CallStatus": "busy"}', "application/json", 400),
            (b'{"CallSid": "s\\u0000", "CallStatus": "busy"}', "application/json", 400),
            (b"CallSid=s%00&CallStatus=busy", "application/x-www-form-urlencoded", 400),
            (b"CallSid=" + b"s" * (1024 * 1024), "application/x-www-form-urlencoded", 413),
        ],
        ids=["broken", "list", "array", "object", "nul", "nul in a form", "too large"],
    )
    def test_is_never_recorded_in_part(self, client, tenant, query, body, content_type, status):
        answer = client.post(
            "/webhooks/exotel/call-status", query_string={"key": tenant.key}, data=body, content_type=content_type
        )

        assert answer.status_code == status
        assert answer.json["error"]["requestId"] == answer.headers["X-Request-ID"]
        assert query("SELECT count(*) FROM deliveries") == query("SELECT count(*) FROM calls") == [(0,)]


class TestInvalidValue:
    """Invalid values that do not identify the call are kept, and the answer is 200."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"CallDuration": "99999999999999999999"},
            {"CallDuration": "\x1c5\x1f!"},
            {"RecordingUrl": "javascript:alert(1)"},
            {"Direction": "null"},
            {"EndTime": "0000-00-00 00:00:00"},
            {"Legs[0][Status]": "", "digits": '"1"'},
            {"": "a field without a name"},
        ],
        ids=repr,
    )
    def test_in_optional_fields_are_kept_unchanged(self, deliver, query, fields):
        answer = deliver("call-end", CallSid="s1", **fields)

        assert answer.status_code == 200
        assert query("SELECT duration_seconds, recording_url, direction FROM calls") == [(None, None, None)]
        assert query("SELECT payload FROM deliveries") == [({"CallSid": "s1", **fields},)]


class TestRepeatedName:
    def test_is_another_delivery_if_the_order_of_repeated_fields_differs(self, client, tenant, query):
        for first, second in (("d1", "d2"), ("d2", "d1")):
            body = {"CallSid": [first, second], "CallStatus": "ringing"}
            client.post("/webhooks/exotel/call-status", query_string={"key": tenant.key}, data=body)

        assert query("SELECT call_sid FROM calls ORDER BY call_sid") == [("d1",), ("d2",)]


class TestOwner:
    @pytest.mark.parametrize("dialled", ["08047112345", "+91 80471 12345", "918047112345", "+918047112345"])
    def test_without_a_key_is_found_by_the_dialled_number(self, deliver, tenant, query, start, dialled):
        answer = deliver("call-start", key=None, **{**start, "To": dialled})

        assert answer.status_code == 200
        assert query("SELECT client_id::text FROM calls") == [(str(tenant.id),)]

    def test_without_a_key_and_number_is_found_by_the_only_call_with_that_sid(self, deliver, tenant, query, start):
        deliver("call-start", **start)

        answer = deliver("call-end", key=None, CallSid="sid-1")

        assert answer.status_code == 200
        assert query("SELECT status FROM calls") == [("completed",)]

    def test_without_key_number_and_call_is_not_found(self, deliver, start, query):
        answer = deliver("call-start", key=None, **{**start, "To": "02212345678"})

        assert answer.status_code == 404
        assert answer.json["error"]["message"] == "Client not found"
        assert query("SELECT count(*) FROM deliveries") == [(0,)]

    def test_of_two_calls_with_that_sid_is_not_found(self, deliver, app, start, query):
        other = app.extensions["caly"].clients.add("Other", [])
        deliver("call-end", CallSid="sid-1")
        deliver("call-end", key=app.extensions["caly"].webhook_keys.mint(other.id, 1), CallSid="sid-1")

        assert deliver("call-end", key=None, CallSid="sid-1", CallStatus="busy").status_code == 404

    @pytest.mark.parametrize("route", ROUTES)
    def test_with_another_clients_key_is_never_the_owner_of_the_number(self, deliver, app, query, start, route):
        other = app.extensions["caly"].clients.add("Other", [])
        deliver("call-start", **start)
        owners_calls = "SELECT * FROM calls WHERE client_id <> %s", str(other.id)
        before = query(*owners_calls)

        key = app.extensions["caly"].webhook_keys.mint(other.id, 1)
        answer = deliver(route, key=key, CallStatus="busy", **start)

        assert answer.status_code == 200
        assert query(*owners_calls) == before
        assert {UUID(owner) for (owner,) in query("SELECT client_id::text FROM deliveries WHERE repeats = 0")} >= {
            other.id
        }


class TestWithoutDatabase:
    @pytest.fixture
    def away(self, app, tenant, tmp_path):
        """A worker that starts while the database is away, with or without a copy of the directory."""
        parts = app.extensions["caly"]
        opened = []

        def begin(*, copy: bool = True, **environment: str):
            if copy:
                parts.directory.refresh()
            variables = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly", **environment}
            opened.append(create_app(Settings.from_env(variables)))
            return opened[-1].test_client()

        yield begin
        for application in opened:
            application.extensions["caly"].close()

    @pytest.fixture
    def replayed(self, app, query):
        """What is recorded after the database is back."""

        def calls() -> list[tuple]:
            app.extensions["caly"].replay.run_if_needed()
            return query("SELECT id::text, client_id::text FROM calls")

        return calls

    def test_a_call_is_answered_with_its_stream_and_recorded_later(self, away, tenant, start, replayed):
        answer = away().post("/webhooks/exotel/call-start", query_string={"key": tenant.key}, data=start)

        call_id = parse_qs(urlsplit(answer.json["url"]).query)["callId"][0]
        assert answer.status_code == 200
        assert replayed() == [(call_id, str(tenant.id))]

    def test_a_number_without_a_key_is_answered_with_its_stream(self, away, tenant, start, replayed):
        answer = away().post("/webhooks/exotel/call-start", data=start)

        assert replayed() == [(parse_qs(urlsplit(answer.json["url"]).query)["callId"][0], str(tenant.id))]

    def test_a_key_suffices_without_a_directory(self, away, tenant, start, replayed):
        answer = away(copy=False).post("/webhooks/exotel/call-start", query_string={"key": tenant.key}, data=start)

        assert replayed() == [(parse_qs(urlsplit(answer.json["url"]).query)["callId"][0], str(tenant.id))]

    def test_a_retired_key_is_refused_or_its_delivery_not_replayed(self, app, away, tenant, start, replayed):
        parts = app.extensions["caly"]
        parts.clients.rotate_key(tenant.id)
        parts.clients.retire_keys(tenant.id)

        blind = away(copy=False).post("/webhooks/exotel/call-end", query_string={"key": tenant.key}, data=start)
        informed = away().post("/webhooks/exotel/call-end", query_string={"key": tenant.key}, data=start)

        assert (blind.status_code, informed.status_code) == (200, 401)
        assert replayed() == []
        assert len(parts.journal.quarantined()) == 1

    def test_a_delivery_without_a_client_is_kept_and_only_a_call_start_is_refused(self, away, start, replayed):
        blind = away(copy=False)

        ended = blind.post("/webhooks/exotel/call-end", data=start)
        started = blind.post("/webhooks/exotel/call-start", data=start)

        assert (ended.status_code, started.status_code, started.json["error"]["code"]) == (200, 404, "NOT_FOUND")
        assert len(replayed()) == 1

    def test_the_status_is_the_one_that_the_delivery_reports(self, away, tenant):
        fields = {"CallSid": "sid-1", "CallStatus": "in-progress"}

        answer = away().post("/webhooks/exotel/call-status", query_string={"key": tenant.key}, data=fields)

        assert answer.json == {"success": True, "status": "in-progress"}

    def test_a_wrong_key_is_refused(self, away, start):
        answer = away().post("/webhooks/exotel/call-start", query_string={"key": "cwk_" + "A" * 56}, data=start)

        assert answer.status_code == 401

    def test_a_delivery_is_refused_if_the_spool_fails_too(self, away, tenant, start, tmp_path):
        lonely = away()
        (tmp_path / "var" / "spool" / "journal.db").mkdir()

        answer = lonely.post("/webhooks/exotel/call-start", query_string={"key": tenant.key}, data=start)

        assert (answer.status_code, answer.json["error"]["code"]) == (500, "DATABASE_ERROR")
