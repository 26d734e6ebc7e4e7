"""Tests signing in, over two workers: revocation applies to both, and an unknown user costs the same work."""

import json
from collections import Counter
from itertools import pairwise

import pytest

EMAIL, PASSWORD = "ravi@example.com", "seven lamps by the ghat"
LIMITS = {"RATELIMIT_LOGIN": "1000/hour", "RATELIMIT_API": "10000/hour"}
ATTEMPTS = 8
WORKERS_HEAR = 30  # requests, each on its own connection: enough that both workers answer some


@pytest.fixture
def server(serve, redis_server):
    return serve("--workers", "2", RATELIMIT_STORAGE_URI=redis_server.url, **LIMITS)


@pytest.fixture
def ravi(server):
    """A user, added from the command line."""
    return server.cli("users", "add", "--email", EMAIL, "--role", "admin", "--password-stdin", stdin=PASSWORD)


def ask(server, method: str, path: str, *, token: str = "", sent: dict | None = None) -> tuple[int, dict]:
    connection = server.connect()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection.request(method, path, json.dumps(sent) if sent else None, headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def login(server, email: str = EMAIL, password: str = PASSWORD) -> tuple[int, dict]:
    return ask(server, "POST", "/api/auth/login", sent={"email": email, "password": password})


def statuses(server, token: str) -> Counter:
    return Counter(ask(server, "GET", "/api/auth/me", token=token)[0] for _ in range(WORKERS_HEAR))


def verifications(server) -> float:
    connection = server.connect()
    connection.request("GET", "/health/metrics?format=prometheus")
    text = connection.getresponse().read().decode()
    connection.close()
    (line,) = [line for line in text.splitlines() if line.startswith("caly_password_verifications_total")]
    return float(line.split()[-1])


class TestRevocation:
    @pytest.mark.parametrize("how", ["logout", "revoke-sessions", "suspend", "delete"])
    def test_of_a_session_applies_to_both_workers_at_once(self, server, ravi, how):
        token = login(server)[1]["token"]
        before = statuses(server, token)

        if how == "logout":
            ask(server, "POST", "/api/auth/logout", token=token)
        else:
            server.cli("users", how, ravi["id"])

        assert (before, statuses(server, token)) == ({200: WORKERS_HEAR}, {401: WORKERS_HEAR})

    def test_of_a_key_applies_to_both_workers_at_once(self, server):
        key = server.cli("keys", "create", "--name", "Report", "--role", "admin")
        before = statuses(server, key["key"])

        server.cli("keys", "revoke", key["id"])

        assert (before, statuses(server, key["key"])) == ({200: WORKERS_HEAR}, {401: WORKERS_HEAR})


def test_an_unknown_user_costs_as_many_verifications_as_a_wrong_password(server, ravi):
    counts = [verifications(server)]
    answers = set()
    for email in (EMAIL, "nobody@example.com"):
        for n in range(ATTEMPTS):
            status, body = login(server, email, f"wrong {n}")
            answers.add((status, body["error"]["code"], body["error"]["message"]))
        counts.append(verifications(server))

    assert [after - before for before, after in pairwise(counts)] == [ATTEMPTS, ATTEMPTS]
    assert len(answers) == 1


def test_thirty_failures_over_both_workers_block_an_account(server, ravi):
    failures = Counter(login(server, password=f"wrong {n}")[0] for n in range(35))

    assert failures == {401: 30, 429: 5}
    assert login(server)[0] == 429


def test_no_password_and_no_token_is_in_the_log(server, ravi):
    token = login(server)[1]["token"]
    login(server, password="a secret that is wrong")
    ask(server, "GET", f"/api/auth/me?token={token}", token=token + "x")

    log = server.log.read_text()

    assert not [secret for secret in (PASSWORD, "a secret that is wrong", token, EMAIL) if secret in log]
