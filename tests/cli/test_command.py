from uuid import uuid4

import pytest

from calyapp.app import create_app
from calyapp.config import Settings

NUMBER = "+918047112345"
CLIENT_ID = "5a0c9f1e-8f43-4c5d-9d6f-0d1f3e1c2b4a"


COMMANDS = {
    "": "Operate Caly.",
    "clients": "Who may be called",
    "clients add": "Add a client and print its webhook URL.",
    "clients list": "List all clients.",
    "clients show": "Show one client.",
    "clients disable": "Refuse a client's deliveries from now on",
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
    "simulate": "Play Exotel against a server",
    "doctor": "Examine this host's deployment",
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

    @pytest.mark.parametrize("command", ["show", "disable", "rotate-key"])
    def test_an_id_that_is_none_ends_with_2(self, caly, command):
        result = caly("clients", command, "seventeen")

        assert result.exit_code == 2
        assert "'seventeen' is not a valid UUID." in result.stderr

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
