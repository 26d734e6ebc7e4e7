from uuid import uuid4

import pytest

from calyapp.access.principal import COMMAND_LINE

PASSWORD, NEW = "seven lamps by the ghat", "eight lamps by the ghat"
EMAIL = "ravi@example.com"


@pytest.fixture
def caly(app):
    """`caly(*arguments, stdin=…)` runs `flask caly …` and returns its result."""

    def run(*arguments, stdin=f"{PASSWORD}\n"):
        return app.test_cli_runner().invoke(args=["caly", *map(str, arguments)], input=stdin)

    return run


@pytest.fixture
def ravi(told):
    return told("users", "add", "--email", EMAIL, "--role", "admin", "--password-stdin")


@pytest.fixture
def signs_in(app):
    """`signs_in(password)` returns whether Ravi can sign in with this password."""
    authentication = app.extensions["caly"].authentication
    return lambda password=PASSWORD: authentication.sign_in(EMAIL, password, COMMAND_LINE).session is not None


class TestAdd:
    def test_prints_the_user_as_json(self, ravi):
        assert ravi == {"id": ravi["id"], "email": EMAIL, "role": "admin", "clientId": None}

    def test_adds_a_user_who_can_sign_in(self, ravi, signs_in):
        assert signs_in()

    @pytest.mark.parametrize("stdin", [f"\ufeff{PASSWORD}\r\n", f"{PASSWORD}\nthe rest\n", PASSWORD])
    def test_reads_the_password_from_the_first_line(self, caly, signs_in, stdin):
        caly("users", "add", "--email", EMAIL, "--role", "admin", "--password-stdin", stdin=stdin.encode())

        assert signs_in()

    def test_stores_the_client_of_a_role_that_needs_one(self, told, asha):
        options = ("--role", "client", "--client", asha["id"], "--password-stdin")

        assert told("users", "add", "--email", " Dev@Example.COM", *options)["email"] == "dev@example.com"
        assert told("users", "list")[0]["clientId"] == asha["id"]

    @pytest.mark.parametrize(
        ("stdin", "wrong"),
        [
            ("short\n", "must be a text of 12 to 128 characters."),
            ("", "must be a text of 12 to 128 characters."),
            ("password1234\n", "must not be one of the passwords that attackers try first."),
            ("with a\ttab in it\n", "must not contain control characters."),
            ("café à la carte\n".encode("latin-1"), "must be written in UTF-8."),
            ("seven lamps by the ghat\n".encode("utf-16"), "must be written in UTF-8."),
        ],
    )
    def test_adds_no_user_with_an_invalid_password(self, caly, told, stdin, wrong):
        result = caly("users", "add", "--email", EMAIL, "--role", "admin", "--password-stdin", stdin=stdin)

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"Error: The password {wrong}\n"
        assert told("users", "list") == []

    @pytest.mark.parametrize(
        "options",
        [
            ("--email", EMAIL, "--role", "client", "--password-stdin"),
            ("--email", EMAIL, "--role", "admin", "--client", str(uuid4()), "--password-stdin"),
            ("--email", EMAIL, "--role", "king", "--password-stdin"),
            ("--email", "nobody", "--role", "admin", "--password-stdin"),
            ("--email", EMAIL, "--role", "admin"),
        ],
        ids=["client without one", "admin with one", "unknown role", "no address", "no password"],
    )
    def test_exits_with_2_for_invalid_arguments(self, caly, options):
        result = caly("users", "add", *options)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Usage: ")

    def test_exits_with_1_for_an_unknown_client(self, caly):
        options = ("--role", "client", "--client", uuid4(), "--password-stdin")
        result = caly("users", "add", "--email", EMAIL, *options)

        assert (result.exit_code, result.stderr) == (1, "Error: There is no client with this id\n")

    def test_exits_with_1_for_the_address_of_another_user(self, caly, ravi):
        result = caly("users", "add", "--email", EMAIL.upper(), "--role", "admin", "--password-stdin")

        assert (result.exit_code, result.stderr) == (1, "Error: A user with this e-mail address already exists\n")


class TestList:
    def test_shows_who_is_suspended(self, told, ravi):
        before = told("users", "list")
        told("users", "suspend", ravi["id"])

        assert [user["suspended"] for user in (*before, *told("users", "list"))] == [False, True]


class TestSuspend:
    def test_prevents_signing_in(self, told, ravi, signs_in):
        assert told("users", "suspend", ravi["id"])["suspended"]

        assert not signs_in()


class TestSetRole:
    def test_changes_role_and_client(self, told, ravi, asha):
        changed = told("users", "set-role", ravi["id"], "client", "--client", asha["id"])

        assert (changed["role"], changed["clientId"]) == ("client", asha["id"])

    def test_exits_with_2_for_the_role_client_without_a_client(self, caly, ravi):
        assert caly("users", "set-role", ravi["id"], "client").exit_code == 2


class TestDelete:
    def test_deletes_the_user(self, told, ravi):
        assert told("users", "delete", ravi["id"]) == {"id": ravi["id"], "deleted": True}

        assert told("users", "list") == []


class TestSetPassword:
    def test_accepts_only_the_new_password_afterwards(self, caly, ravi, signs_in):
        assert caly("users", "set-password", ravi["id"], "--password-stdin", stdin=NEW).exit_code == 0

        assert [signs_in(password) for password in (PASSWORD, NEW)] == [False, True]


class TestRevokeSessions:
    def test_prints_the_number_of_revoked_sessions(self, told, ravi, signs_in):
        signs_in()
        signs_in()

        assert told("users", "revoke-sessions", ravi["id"])["sessionsRevoked"] == 2


@pytest.mark.parametrize("command", ["suspend", "set-role", "delete", "set-password", "revoke-sessions"])
def test_every_command_exits_with_1_for_an_unknown_user(caly, command):
    rest = {"set-role": ("admin",), "set-password": ("--password-stdin",)}.get(command, ())

    result = caly("users", command, uuid4(), *rest)

    assert (result.exit_code, result.stderr) == (1, "Error: No user has this id\n")
