import os
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
    "": "Operate Caly.",
    "clients": "Who may be called",
    "clients add": "Add a client and print its webhook URL.",
    "clients list": "List all clients.",
    "clients show": "Show one client.",
    "clients disable": "Refuse a client's deliveries from now on",
    "clients enable": "Accept a disabled client's deliveries",
    "clients set-greeting": "Choose what a client's callers hear first",
    "clients connect-exotel": "Keep the credentials",
    "clients disconnect-exotel": "Forget a client's account",
    "clients rotate-key": "Make a new webhook key beside the old one",
    "clients numbers": "The numbers of a client.",
    "clients numbers add": "Give a client a number.",
    "clients numbers remove": "Take a number from a client.",
    "users": "Who may sign in",
    "users add": "Add a user.",
    "users list": "List all users.",
    "users suspend": "Let a user in no more",
    "users unsuspend": "Let a suspended user sign in again.",
    "users set-role": "Give a user another role, at once.",
    "users delete": "Forget a user and their sessions",
    "users set-password": "Give a user another password",
    "users revoke-sessions": "End all of a user's sessions",
    "keys": "API keys, for programs",
    "keys create": "Create an API key and print it, this once.",
    "keys list": "List all API keys",
    "keys revoke": "Refuse an API key from now on.",
    "secrets": "What is kept encrypted",
    "secrets status": "Show how many secrets there are under which key.",
    "secrets reencrypt": "Encrypt all secrets anew",
    "secrets check-token": "Say which key signed the token",
    "audit": "The audit trail: what happened",
    "audit list": "List entries of the audit trail",
    "audit show": "Show one entry of the audit trail.",
    "calls": "The record of calls.",
    "calls list": "List calls, the newest first.",
    "calls show": "Show one call, by its id or CallSid",
    "calls import": "Heal missing or unfinished calls",
    "calls rebuild": "Fold calls again from the ledger",
    "spool": "Deliveries that wait on this host's disk",
    "spool status": "Show how many deliveries wait",
    "spool replay": "Record what waits now",
    "spool quarantine": "Deliveries that the database refused",
    "spool quarantine list": "List the deliveries in quarantine",
    "spool quarantine show": "Show one delivery in quarantine",
    "spool quarantine retry": "Let deliveries in quarantine be replayed",
    "spool quarantine drop": "Drop a delivery in quarantine for good",
    "partitions": "Make the months of the audit trail that are missing",
    "backup": "Write all of the database into a new file",
    "restore": "Fill an empty database from a backup",
    "scan": "Look for known weaknesses",
    "tail": "Follow deliveries and refusals",
    "simulate": "Play Exotel against a server",
    "doctor": "Check the deployment on this host",
    "demo": "Make sure that a demo client exists",
}


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
    def test_ends_with_1_and_a_sentence_for_an_unknown_client(self, caly, command):
        result = caly("clients", *command.replace(" 1", f" {NUMBER}").format(uuid4()).split())

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: There is no client with this id\n"


class TestWithoutDatabase:
    @pytest.fixture
    def app(self):
        """At its database's address nothing listens."""
        settings = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}
        app = create_app(Settings.from_env(settings))
        yield app
        app.extensions["caly"].close()

    @pytest.mark.parametrize(("command", "sentence"), COMMANDS.items())
    def test_every_command_explains_itself(self, caly, command, sentence):
        result = caly(*command.split(), "--help")

        assert result.exit_code == 0
        assert sentence in result.stdout

    def test_no_command_escapes_this_test(self, app):
        def names(group, *path):
            yield " ".join(path)
            for name, command in getattr(group, "commands", {}).items():
                yield from names(command, *path, name)

        assert set(names(app.cli.commands["caly"])) == set(COMMANDS)

    @pytest.mark.parametrize(
        "command", ["add --name A --number", f"numbers add {CLIENT_ID}", f"numbers remove {CLIENT_ID}"]
    )
    def test_a_number_that_is_none_ends_with_2(self, caly, command):
        result = caly("clients", *command.split(), "12 34")

        assert result.exit_code == 2
        assert "'12 34' is not a telephone number." in result.stderr

    @pytest.mark.parametrize("name", ["", "   ", "a\x1bb", "x" * 201])
    def test_a_name_that_nobody_can_read_ends_with_2(self, caly, name):
        assert caly("clients", "add", "--name", name).exit_code == 2

    @pytest.mark.parametrize("command", ["clients add", "clients show", f"clients numbers add {CLIENT_ID}", "nonsense"])
    def test_a_wrong_call_ends_with_2_and_the_usage(self, caly, command):
        result = caly(*command.split())

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Usage: ")

    def test_a_right_call_ends_with_1_and_a_sentence(self, caly):
        result = caly("clients", "list")

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Error: PostgreSQL refuses the connection: nothing listens there. "
            "Start PostgreSQL, or correct the host and port in DATABASE_URL.\n"
        )


class TestActor:
    """The audit trail names the person."""

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
        """`add(*options, **environment)`: what adding a client in production prints."""
        opened = []

        def run(*options, **environment):
            given = {**PRODUCTION, "DATABASE_URL": database_url, **environment}
            app = create_app(Settings.from_env(given))
            opened.append(app)
            return app.test_cli_runner().invoke(args=["caly", "clients", "add", "--name", "A", *options])

        yield run
        for app in opened:
            app.extensions["caly"].close()

    def test_is_that_of_the_setting(self, add):
        assert "https://caly.example/webhooks/exotel" in add(PUBLIC_URL="https://caly.example/").stdout

    def test_gives_way_to_the_option(self, add):
        result = add("--base-url", "https://other.example", PUBLIC_URL="https://caly.example")

        assert "https://other.example/webhooks/exotel" in result.stdout

    def test_is_asked_for_before_anything_is_stored(self, add, query):
        result = add()

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: PUBLIC_URL is not set. Set it to the address under which Exotel")
        assert query("SELECT count(*) FROM clients") == [(0,)]

    @pytest.mark.parametrize("address", ["ftp://x", "caly.example", "https://u:p@caly.example", "https://h?key=k"])
    def test_is_checked(self, add, address):
        result = add("--base-url", address)

        assert result.exit_code == 2
        assert "must be a URL such as https://caly.example" in result.stderr


def run(*arguments, **environment):
    """`flask caly …` in a process of its own, with nothing in its environment but this."""
    known = {"PATH": os.environ["PATH"], "FLASK_APP": "wsgi", **environment}
    command = [sys.executable, "-m", "flask", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=known, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class TestWithoutSettings:
    @pytest.mark.parametrize("environment", [{}, {"APP_ENV": "nonsense", "DB_POOL_MAX": "many", "SPOOL_DIR": " "}])
    @pytest.mark.parametrize("command", ["", "clients add", "simulate", "users set-password"])
    def test_a_command_explains_itself(self, command, environment):
        process = run("caly", *command.split(), "--help", **environment)
        stdout, stderr = process.communicate()

        assert (process.returncode, stderr) == (0, "")
        assert COMMANDS[command] in stdout

    @pytest.mark.parametrize("command", ["clients list", "users suspend asha@caly.example", "doctor", "demo"])
    def test_a_command_says_which_are_missing(self, command):
        process = run("caly", *command.split())
        stdout, stderr = process.communicate()

        assert (process.returncode, stdout) == (1, "")
        assert stderr.startswith("Error: DATABASE_URL must be set in production: ")
        assert "deploy/caly.env.example explains each." in stderr

    def test_a_server_does_not_start(self):
        process = run("run", "--port", "1")
        _, stderr = process.communicate()

        assert process.returncode == 1
        assert stderr.startswith("DATABASE_URL must be set in production: ")


class TestInterrupted:
    """By Ctrl-C, while the command waits for a database that says nothing."""

    @pytest.mark.parametrize(
        "command", ["clients list", "clients disable A", "doctor", "backup x", "audit list", "tail", "partitions"]
    )
    def test_ends_with_130_and_no_traceback(self, command, tmp_path):
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
