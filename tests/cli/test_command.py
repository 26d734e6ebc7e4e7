import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from calyapp.app import create_app
from calyapp.config import Settings

ROOT = Path(__file__).parents[2]
NUMBER = "+918047112345"
CLIENT_ID = "5a0c9f1e-8f43-4c5d-9d6f-0d1f3e1c2b4a"


COMMANDS = {
    "",
    "clients",
    "clients add",
    "clients list",
    "clients show",
    "clients disable",
    "clients enable",
    "clients set-greeting",
    "clients connect-exotel",
    "clients disconnect-exotel",
    "clients rotate-key",
    "clients numbers",
    "clients numbers add",
    "clients numbers remove",
    "users",
    "users add",
    "users list",
    "users suspend",
    "users unsuspend",
    "users set-role",
    "users delete",
    "users set-password",
    "users revoke-sessions",
    "keys",
    "keys create",
    "keys list",
    "keys revoke",
    "secrets",
    "secrets status",
    "secrets reencrypt",
    "secrets check-token",
    "audit",
    "audit list",
    "audit show",
    "calls",
    "calls list",
    "calls show",
    "calls import",
    "calls rebuild",
    "spool",
    "spool status",
    "spool replay",
    "spool quarantine",
    "spool quarantine list",
    "spool quarantine show",
    "spool quarantine retry",
    "spool quarantine drop",
    "partitions",
    "backup",
    "restore",
    "scan",
    "tail",
    "simulate",
    "doctor",
    "demo",
}
"""Every command. Scripts of operators depend on the names."""


class TestEveryCommand:
    @pytest.mark.parametrize(
        "command",
        [
            "show {}",
            "disable {}",
            "set-greeting {} --default",
            "rotate-key {}",
            "rotate-key --retire {}",
            "numbers add {} 1",
            "numbers remove {} 1",
        ],
    )
    def test_exits_with_1_and_a_message_for_an_unknown_client(self, caly, command):
        result = caly("clients", *command.replace(" 1", f" {NUMBER}").format(uuid4()).split())

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: There is no client with this id\n"


class TestWithoutDatabase:
    @pytest.fixture
    def app(self):
        """An application whose database refuses the connection."""
        settings = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}
        app = create_app(Settings.from_env(settings))
        yield app
        app.extensions["caly"].close()

    @pytest.mark.parametrize("command", sorted(COMMANDS))
    def test_every_command_has_a_help_text(self, caly, command):
        result = caly(*command.split(), "--help")

        usage, explanation, *_ = result.stdout.split("\n\n")
        assert (result.exit_code, usage.startswith("Usage:")) == (0, True)
        assert re.match(r"  [A-Z][^.]+[.;]", explanation)

    def test_the_list_of_commands_is_complete(self, app):
        def names(group, *path):
            yield " ".join(path)
            for name, command in getattr(group, "commands", {}).items():
                yield from names(command, *path, name)

        assert set(names(app.cli.commands["caly"])) == COMMANDS

    @pytest.mark.parametrize(
        "command", ["add --name A --number", f"numbers add {CLIENT_ID}", f"numbers remove {CLIENT_ID}"]
    )
    def test_an_invalid_number_exits_with_2(self, caly, command):
        result = caly("clients", *command.split(), "12 34")

        assert result.exit_code == 2
        assert "'12 34' is not a phone number." in result.stderr

    @pytest.mark.parametrize("name", ["", "   ", "a\x1bb", "x" * 201])
    def test_an_unprintable_name_exits_with_2(self, caly, name):
        assert caly("clients", "add", "--name", name).exit_code == 2

    @pytest.mark.parametrize("command", ["clients add", "clients show", f"clients numbers add {CLIENT_ID}", "nonsense"])
    def test_a_usage_error_exits_with_2_and_the_usage(self, caly, command):
        result = caly(*command.split())

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Usage: ")

    def test_a_valid_command_exits_with_1_and_a_message(self, caly):
        result = caly("clients", "list")

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Error: PostgreSQL refuses the connection: nothing listens there. "
            "Start PostgreSQL, or correct the host and port in DATABASE_URL.\n"
        )


class TestActor:
    """The name of the operator in audit entries."""

    def test_is_on_every_entry_of_a_command(self, caly, asha, query, monkeypatch, tmp_path):
        monkeypatch.setattr("calyapp.cli.person.LOGIN_UID", tmp_path / "none")
        monkeypatch.setenv("CALY_ACTOR", "ravi")
        commands = [
            ["clients", "rotate-key", asha["id"]],
            ["clients", "set-greeting", asha["id"], "--voice", "man"],
            ["clients", "disable", asha["id"]],
            ["clients", "enable", asha["id"]],
            ["keys", "create", "--name", "A", "--role", "admin"],
            ["calls", "list", "--client", asha["id"]],
            ["backup", tmp_path / "backups"],
        ]
        for command in commands:
            assert caly(*command).exit_code == 0

        types = query("SELECT event_type FROM audit_logs WHERE metadata ->> 'actor' = 'ravi' ORDER BY created_at")
        assert [type_ for (type_,) in types] == [
            "WEBHOOK_KEY_ROTATED",
            "SETTINGS_CHANGED",
            "CLIENT_DISABLED",
            "CLIENT_ENABLED",
            "API_KEY_GENERATED",
            "DATA_ACCESSED",
            "BACKUP_STARTED",
            "BACKUP_COMPLETED",
        ]
        assert query("SELECT DISTINCT event_type FROM audit_logs WHERE metadata ->> 'actor' IS NULL") == []


PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": "s" * 31 + "1",
    "WEBHOOK_ROOT_KEY": "w" * 31 + "2",
    "STREAM_TOKEN_KEY": "t" * 31 + "3",
    "ENCRYPTION_KEY": "ab" * 32,
    "STREAM_BASE_URL": "wss://media.example",
}


class TestPublicUrl:
    """The base of the URLs that are printed."""

    @pytest.fixture
    def add(self, database_url):
        """`add(*options, **environment)` returns the result of `clients add` in production."""
        opened = []

        def run(*options, **environment):
            given = {**PRODUCTION, "DATABASE_URL": database_url, **environment}
            app = create_app(Settings.from_env(given))
            opened.append(app)
            return app.test_cli_runner().invoke(args=["caly", "clients", "add", "--name", "A", *options])

        yield run
        for app in opened:
            app.extensions["caly"].close()

    def test_comes_from_the_setting(self, add):
        assert "https://caly.example/webhooks/exotel" in add(PUBLIC_URL="https://caly.example/").stdout

    def test_is_overridden_by_the_option(self, add):
        result = add("--base-url", "https://other.example", PUBLIC_URL="https://caly.example")

        assert "https://other.example/webhooks/exotel" in result.stdout

    def test_is_required_before_anything_is_stored(self, add, query):
        result = add()

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: PUBLIC_URL is not set. Set it to the address under which Exotel")
        assert query("SELECT count(*) FROM clients") == [(0,)]

    @pytest.mark.parametrize("address", ["ftp://x", "caly.example", "https://u:p@caly.example", "https://h?key=k"])
    def test_is_validated(self, add, address):
        result = add("--base-url", address)

        assert result.exit_code == 2
        assert "must be a URL such as https://caly.example" in result.stderr


def run(*arguments, **environment):
    """Runs `flask caly …` in a new process with only this environment."""
    known = {"PATH": os.environ["PATH"], "FLASK_APP": "wsgi", **environment}
    command = [sys.executable, "-m", "flask", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=known, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class TestWithoutSettings:
    @pytest.mark.parametrize("environment", [{}, {"APP_ENV": "nonsense", "DB_POOL_MAX": "many", "SPOOL_DIR": " "}])
    @pytest.mark.parametrize("command", ["", "clients add", "simulate", "users set-password"])
    def test_a_command_prints_its_help_text(self, command, environment):
        process = run("caly", *command.split(), "--help", **environment)
        stdout, stderr = process.communicate()

        assert (process.returncode, stderr) == (0, "")
        assert stdout.startswith("Usage: ")

    @pytest.mark.parametrize("command", ["clients list", "users suspend asha@caly.example", "doctor", "demo"])
    def test_a_command_names_the_missing_settings(self, command):
        process = run("caly", *command.split())
        stdout, stderr = process.communicate()

        assert (process.returncode, stdout) == (1, "")
        assert stderr.startswith("Error: DATABASE_URL must be set in production: ")
        assert stderr.endswith("see deploy/caly.env.example.\n")

    def test_a_server_does_not_start(self):
        process = run("run", "--port", "1")
        _, stderr = process.communicate()

        assert process.returncode == 1
        assert stderr.startswith("DATABASE_URL must be set in production: ")


class TestInterrupted:
    """Ctrl-C while the command waits for a database that does not answer."""

    @pytest.mark.parametrize(
        "command", ["clients list", "clients disable A", "doctor", "backup x", "audit list", "tail", "partitions"]
    )
    def test_exits_with_130_and_no_traceback(self, command, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(60)
            url = f"postgresql://caly@127.0.0.1:{silent.getsockname()[1]}/caly"
            settings = {"APP_ENV": "testing", "DATABASE_URL": url, "SPOOL_DIR": str(tmp_path / "spool")}
            process = run("caly", *command.split(), **settings)
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                _, stderr = process.communicate()

        assert process.returncode == 130
        assert "Traceback" not in stderr
