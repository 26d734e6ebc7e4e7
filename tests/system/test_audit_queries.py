"""What an auditor is answered who types the queries that circulate, after a day with an attack in it."""

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
    """What happens; returns once the throttled entries are written."""
    ours, theirs = clients
    email, address = "asha@example.com", ["--email", "asha@example.com"]
    stdin = PASSWORD + "\n"
    server.cli("users", "add", *address, "--role", "client", "--client", ours["id"], "--password-stdin", stdin=stdin)
    for password in (PASSWORD, *["wrong"] * 44):  # 30 wrong ones close the account, and 40 in all the address
        login(server, email, password)
    for client in clients:
        number = OURS if client is ours else THEIRS
        server.ask("POST", webhook(client, "call-start"), {"CallSid": "s1", "From": "09876543210", "To": number})
    for client in (ours, theirs, ours, theirs, ours):  # from one address, in turn: missing From and To
        server.ask("POST", webhook(client, "call-start"), {"CallSid": "s2"})
    server.ask("GET", f"/api/nothing?q={INJECTION}")
    server.cli("clients", "rotate-key", ours["id"])
    server.cli("clients", "rotate-key", ours["id"], "--retire")
    for _ in range(100):  # until the workers know it
        if server.ask("POST", webhook(ours, "call-end"), {"CallSid": "s1"})[0] == 401:
            break
        time.sleep(0.1)
    for _ in range(4):
        assert server.ask("POST", webhook(ours, "call-end"), {"CallSid": "s1"})[0] == 401
    server.stop()  # writes what waits
    return module_query


def login(server, email, password):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = json.dumps({"email": email, "password": password})
    connection.request("POST", "/api/auth/login", body, {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()


def test_the_logins_are_all_attempts_and_how_they_ended(day):
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


def test_what_is_critical_is_the_attack(day):
    rows = day("SELECT event_type, metadata->>'pattern' FROM audit_logs WHERE severity = 'CRITICAL'")

    assert rows == [("SECURITY_VIOLATION", "sql_injection")]


def test_what_concerns_a_client_is_under_its_id_and_nothing_of_another(day, clients):
    statement = f"SELECT event_type, {COUNT} FROM audit_logs WHERE client_id = %s GROUP BY 1"
    ours, theirs = (dict(day(statement, client["id"])) for client in clients)

    assert ours.pop("WEBHOOK_REJECTED") == 3 + 5
    ours.pop("CALL_ENDED", None)  # taken while a worker did not know yet that the key was retired
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


def test_the_statistics_say_the_same(day):
    counted = "(SELECT * FROM audit_counts_daily UNION ALL SELECT * FROM audit_counts_pending) AS counts"

    assert dict(day(f"SELECT event_type, sum(entries)::int FROM {counted} GROUP BY 1")) == dict(
        day(f"SELECT event_type, {COUNT} FROM audit_logs GROUP BY 1")
    )
