"""Tests the results of common audit queries after a day that includes an attack."""

import json
import time
from http.client import HTTPConnection
from urllib.parse import quote

import pytest
from running_server import webhook

OURS, THEIRS = "+918047110001", "+918047110002"
COUNT = "sum(coalesce((metadata->>'count')::int, 1))::int"
PASSWORD = "seven lamps by the ghat"
INJECTION = quote("1' UNION SELECT password FROM users--")


@pytest.fixture(scope="module")
def server(module_serve):
    return module_serve(RATELIMIT_LOGIN="40/hour")


@pytest.fixture(scope="module")
def clients(server, tenant):
    return tenant(server, OURS), tenant(server, THEIRS)


@pytest.fixture(scope="module")
def day(server, clients, module_query):
    """Produces the events of the day. Returns the query function after the throttled entries are written."""
    ours, theirs = clients
    email, address = "asha@example.com", ["--email", "asha@example.com"]
    stdin = PASSWORD + "\n"
    server.cli("users", "add", *address, "--role", "client", "--client", ours["id"], "--password-stdin", stdin=stdin)
    for password in (PASSWORD, *["wrong"] * 44):  # 30 failures block the account, and 40 attempts the address
        login(server, email, password)
    for client in clients:
        number = OURS if client is ours else THEIRS
        server.ask("POST", webhook(client, "call-start"), {"CallSid": "s1", "From": "09876543210", "To": number})
    for client in (ours, theirs, ours, theirs, ours):  # alternately, from one address: From and To are missing
        server.ask("POST", webhook(client, "call-start"), {"CallSid": "s2"})
    server.ask("GET", f"/api/nothing?q={INJECTION}")
    server.cli("clients", "rotate-key", ours["id"])
    server.cli("clients", "rotate-key", ours["id"], "--retire")
    for _ in range(100):  # until all workers know that the key is retired
        if server.ask("POST", webhook(ours, "call-end"), {"CallSid": "s1"})[0] == 401:
            break
        time.sleep(0.1)
    for _ in range(4):
        assert server.ask("POST", webhook(ours, "call-end"), {"CallSid": "s1"})[0] == 401
    server.stop()  # writes the throttled entries
    return module_query


def login(server, email, password):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = json.dumps({"email": email, "password": password})
    connection.request("POST", "/api/auth/login", body, {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()


def test_login_entries_cover_all_attempts_with_their_outcome(day):
    rows = day(
        f"SELECT event_type, status, description, {COUNT} FROM audit_logs "
        "WHERE event_type LIKE 'LOGIN_%' GROUP BY 1, 2, 3"
    )

    successes = [(status, count) for event, status, _, count in rows if event == "LOGIN_SUCCESS"]
    failures = {what: count for event, status, what, count in rows if (event, status) == ("LOGIN_FAILURE", "failure")}
    assert successes == [("success", 1)]
    assert failures == {
        "Wrong e-mail address or password": 30,
        "Too many failed logins": 9,
        "Too many logins from this address": 5,
    }
    assert len(rows) == 4


def test_only_the_attack_is_critical(day):
    rows = day("SELECT event_type, metadata->>'pattern' FROM audit_logs WHERE severity = 'CRITICAL'")

    assert rows == [("SECURITY_VIOLATION", "sql_injection")]


def test_a_clients_id_selects_its_own_entries_only(day, clients):
    statement = f"SELECT event_type, {COUNT} FROM audit_logs WHERE client_id = %s GROUP BY 1"
    ours, theirs = (dict(day(statement, client["id"])) for client in clients)

    assert ours.pop("WEBHOOK_REJECTED") == 3 + 5
    ours.pop("CALL_ENDED", None)  # accepted by a worker that did not know yet that the key was retired
    assert ours == {
        "DATA_CREATED": 1,
        "WEBHOOK_KEY_ROTATED": 2,
        "USER_CREATED": 1,
        "LOGIN_SUCCESS": 1,
        "LOGIN_FAILURE": 30,
        "RATE_LIMIT_EXCEEDED": 1,
        "CALL_STARTED": 1,
    }
    assert theirs == {"DATA_CREATED": 1, "CALL_STARTED": 1, "WEBHOOK_REJECTED": 2}


def test_the_statistics_agree_with_the_entries(day):
    counted = "(SELECT * FROM audit_counts_daily UNION ALL SELECT * FROM audit_counts_pending) AS counts"

    assert dict(day(f"SELECT event_type, sum(entries)::int FROM {counted} GROUP BY 1")) == dict(
        day(f"SELECT event_type, {COUNT} FROM audit_logs GROUP BY 1")
    )
