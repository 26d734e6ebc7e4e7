import shlex
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from calyapp.app import create_app
from calyapp.config import Settings

NUMBER = "+918047112345"


class TestDemo:
    def test_creates_one_client_in_repeated_runs(self, caly, told):
        first, second = caly("demo"), caly("demo")

        assert (first.exit_code, second.exit_code) == (0, 0)
        assert first.stdout == second.stdout
        assert [(known["name"], known["numbers"]) for known in told("clients", "list")] == [("Demo", [NUMBER])]

    def test_prints_a_curl_command_that_returns_a_stream(self, caly, client):
        result = caly("demo", "--base-url", "http://localhost")

        (line,) = (line for line in result.stdout.splitlines() if "curl" in line)
        _curl, url, *fields = shlex.split(line)
        data = dict(field.split("=", 1) for field in fields if field != "-d")
        answer = client.post(urlsplit(url).path, query_string=parse_qs(urlsplit(url).query), data=data)
        assert answer.status_code == 200
        assert answer.json["url"].startswith("ws://")

    def test_prints_number_and_url(self, caly, keys, told):
        result = caly("demo", "--base-url", "http://here")

        (demo,) = told("clients", "list")
        url = f"http://here/webhooks/exotel/call-start?key={keys.mint(UUID(demo['id']), 1)}"
        assert f"Demo number:  {NUMBER}\nWebhook URL:  {url}\n" in result.stdout

    def test_is_refused_in_production(self, production, query):
        result = production.test_cli_runner().invoke(args=["caly", "demo"])

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: There is no demo client in production")
        assert query("SELECT count(*) FROM clients") == [(0,)]

    @pytest.fixture
    def production(self, database_url):
        """The application with production settings, on the database of the test."""
        keys = {name: name * 4 for name in ("SECRET_KEY", "WEBHOOK_ROOT_KEY", "STREAM_TOKEN_KEY")}
        rest = {"ENCRYPTION_KEY": "ab" * 32, "STREAM_BASE_URL": "wss://media.example", "DATABASE_URL": database_url}
        app = create_app(Settings.from_env({"APP_ENV": "production", **keys, **rest}))
        yield app
        app.extensions["caly"].close()
