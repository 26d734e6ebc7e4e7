import json
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import uuid4

import pytest

from calyapp.app import create_app
from calyapp.config import Settings
from calyapp.exotel import stream_token

OLD, NEW = "0f" * 32, "1e" * 32
CREDENTIALS = "canaryKey\ncanaryToken\n"


@pytest.fixture
def caly(database_url):
    """`caly(*arguments, stdin=…, **keys)` runs `flask caly …` with these keys and returns its result."""
    applications = []

    def run(*arguments, stdin="", key=OLD, previous="", **others):
        environment = {"APP_ENV": "testing", "DATABASE_URL": database_url}
        keys = {"ENCRYPTION_KEY": key, "ENCRYPTION_KEY_PREVIOUS": previous}
        applications.append(create_app(Settings.from_env(environment | keys | others)))
        return applications[-1].test_cli_runner().invoke(args=["caly", *arguments, "--json"], input=stdin)

    yield run
    for application in applications:
        application.extensions["caly"].close()


@pytest.fixture
def connected(caly):
    """The id of a client whose credentials are encrypted with the old key."""
    client_id = json.loads(caly("clients", "add", "--name", "Asha").stdout)["id"]
    options = ("--account-sid", "asha1", "--credentials-stdin")
    assert caly("clients", "connect-exotel", client_id, *options, stdin=CREDENTIALS).exit_code == 0
    return client_id


def counts(result):
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.usefixtures("connected")
class TestStatus:
    def test_counts_values_encrypted_with_the_current_key(self, caly):
        assert counts(caly("secrets", "status")) == (0, {"secrets": 1, "underPreviousKey": 0, "unreadable": 0})

    def test_counts_values_encrypted_with_the_previous_key(self, caly):
        status = caly("secrets", "status", key=NEW, previous=OLD)

        assert counts(status) == (0, {"secrets": 1, "underPreviousKey": 1, "unreadable": 0})

    def test_exits_with_1_if_a_key_is_missing(self, caly):
        status = caly("secrets", "status", key=NEW)

        assert counts(status) == (1, {"secrets": 1, "underPreviousKey": 0, "unreadable": 1})


class TestReencrypt:
    def test_encrypts_all_values_with_the_current_key_and_is_audited(self, caly, connected, query):
        result = caly("secrets", "reencrypt", key=NEW, previous=OLD)

        assert counts(result) == (0, {"reencrypted": 1, "unreadable": []})
        assert counts(caly("secrets", "status", key=NEW))[1]["unreadable"] == 0
        ((metadata,),) = query("SELECT metadata FROM audit_logs WHERE event_type = 'ENCRYPTION_KEY_ROTATED'")
        assert (metadata["reencrypted"], metadata["unreadable"]) == (1, 0)

    def test_names_values_that_it_cannot_decrypt(self, caly, connected):
        result = caly("secrets", "reencrypt", key=NEW)

        assert counts(result) == (1, {"reencrypted": 0, "unreadable": [connected]})


class TestCheckToken:
    KEYS: ClassVar = {"STREAM_TOKEN_KEY": "new " * 8 + "key", "STREAM_TOKEN_KEY_PREVIOUS": "old " * 8 + "key"}

    @pytest.fixture
    def check(self, caly):
        """`check(variable, seconds)` returns the result for a token signed with this key that expires in `seconds`."""

        def check(variable, seconds=60):
            call_id, expires_at = uuid4(), datetime.now(UTC) + timedelta(seconds=seconds)
            token = stream_token.mint(self.KEYS.get(variable, variable).encode(), call_id, expires_at)
            url = f"wss://media.example/audio?callId={call_id}&token={token}\n"
            return counts(caly("secrets", "check-token", stdin=url, **self.KEYS))

        return check

    @pytest.mark.parametrize("variable", list(KEYS))
    def test_names_the_key_that_signed_the_token(self, check, variable):
        code, told = check(variable)

        assert (code, told["signedWith"], told["verdict"]) == (0, variable, "good")

    def test_exits_with_1_for_an_expired_token(self, check):
        code, told = check("STREAM_TOKEN_KEY", seconds=-1)

        assert (code, told["signedWith"], told["verdict"]) == (1, "STREAM_TOKEN_KEY", "expired")

    def test_exits_with_1_for_a_token_of_an_unknown_key(self, check):
        assert check("x" * 32) == (1, {"signedWith": None, "expires": None, "verdict": "unknown"})

    @pytest.mark.parametrize("url", ["", "wss://media.example/audio", "?callId=1&token=x", "wss://[", "\0"])
    def test_describes_the_expected_stream_url(self, caly, url):
        result = caly("secrets", "check-token", stdin=url)

        assert result.exit_code == 1
        assert "/audio?callId=<call id>&token=<token>" in result.stderr
