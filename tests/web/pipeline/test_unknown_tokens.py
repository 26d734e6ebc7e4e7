import pytest

from calyapp.access import tokens
from calyapp.access.tokens import TokenKind
from calyapp.web.pipeline.unknown_tokens import LIMIT

PATHS = ("/api/calls", "/health/detailed")


@pytest.fixture
def ask(client):
    """`ask(token, path, address)`: the answer."""

    def send(token=None, path=PATHS[0], address="203.0.113.9"):
        headers = {"Authorization": f"Bearer {token or tokens.mint(TokenKind.API_KEY)}"}
        return client.get(path, headers=headers, environ_base={"REMOTE_ADDR": address})

    return send


@pytest.fixture
def used_up(ask):
    """Uses up the limit of the address."""
    for _ in range(LIMIT.amount):
        ask()


@pytest.fixture
def queries(caplog):
    """`queries()`: the number of database queries of each request so far."""
    caplog.set_level("DEBUG", "calyapp")
    return lambda: [record.fields["queries"] for record in caplog.records if record.message == "request"]


class TestUnknownTokens:
    @pytest.mark.parametrize("path", PATHS)
    def test_above_the_limit_are_not_looked_up(self, ask, used_up, queries, path):
        refused = ask(path=path)

        assert (refused.status_code, refused.json["error"]["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["X-RateLimit-Remaining"] == "0"
        assert queries()[-1] == 0

    def test_do_not_lock_out_a_valid_token_of_the_same_address(self, ask, api_key):
        token = api_key("admin")["Authorization"].split()[1]
        before = ask(token).status_code
        statuses = {ask().status_code for _ in range(LIMIT.amount + 1)}

        assert (before, statuses, ask(token).status_code) == (200, {401, 429}, 200)

    def test_do_not_count_for_another_address(self, ask, used_up):
        assert ask(address="198.51.100.7").status_code == 401

    def test_do_not_include_texts_without_the_form_of_a_token(self, client, ask, api_key):
        for _ in range(LIMIT.amount + 1):
            ask("x")
            client.get(PATHS[0], environ_base={"REMOTE_ADDR": "203.0.113.9"})

        assert ask(api_key("admin")["Authorization"].split()[1]).status_code == 200

    def test_include_revoked_tokens(self, app, ask, used_up, api_key, queries):
        token = api_key("admin")["Authorization"].split()[1]
        ask(token, address="198.51.100.7")
        (key,) = app.extensions["caly"].api_keys.all()
        app.extensions["caly"].api_keys.revoke(key.id)
        before = len(queries())

        ask(token)
        ask(token)

        first, second = queries()[before:]
        assert (first > 0, second) == (True, 0)
