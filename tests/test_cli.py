import json
import shlex
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest

from calyapp.app import create_app
from calyapp.clients.keys import Claim
from calyapp.config import Settings

NUMBER, OTHER_NUMBER = "+918047112345", "+918047112346"
SHAPES = ["08047112345", "+91 80471 12345", "918047112345"]
CLIENT_ID = "5a0c9f1e-8f43-4c5d-9d6f-0d1f3e1c2b4a"
COMMANDS = {
    "": "Operate Caly.",
    "clients": "Who may be called",
    "clients add": "Add a client and print its webhook URL.",
    "clients list": "List all clients.",
    "clients show": "Show one client.",
    "clients disable": "Refuse a client's deliveries from now on",
    "clients rotate-key": "Make a new webhook key beside the old one",
    "clients numbers": "The numbers of a client.",
    "clients numbers add": "Give a client a number.",
    "clients numbers remove": "Take a number from a client.",
    "calls": "The record of calls.",
    "calls rebuild": "Fold calls again from the ledger",
    "simulate": "Play Exotel against a server",
    "demo": "Make sure that a demo client exists",
}


@pytest.fixture
def caly(app):
    """`caly(*arguments)`: how `flask caly …` ends."""
    return lambda *arguments: app.test_cli_runner().invoke(args=["caly", *map(str, arguments)])


@pytest.fixture
def told(caly):
    """`told(*arguments)`: what the command says with --json."""

    def run(*arguments):
        result = caly(*arguments, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        return json.loads(result.stdout)

    return run


@pytest.fixture
def asha(told):
    """A client with one number."""
    return told("clients", "add", "--name", "Asha Clinics", "--number", NUMBER)


@pytest.fixture
def keys(app):
    return app.extensions["caly"].webhook_keys


def summary(client, *, numbers=(NUMBER,), newest=1, oldest=1, disabled=False):
    """What `list`, `show` and the changes say of a client."""
    return {
        "id": client["id"],
        "name": client["name"],
        "numbers": list(numbers),
        "keyVersion": newest,
        "oldestKeyVersion": oldest,
        "disabled": disabled,
    }


def table(client, *, numbers=NUMBER, newest=1, oldest=1, disabled="no"):
    """The same for people."""
    return (
        f"id                {client['id']}\n"
        f"name              Asha Clinics\n"
        f"numbers           {numbers}\n"
        f"keyVersion        {newest}\n"
        f"oldestKeyVersion  {oldest}\n"
        f"disabled          {disabled}\n"
    )


class TestEveryCommand:
    @pytest.mark.parametrize(
        "command",
        ["show {}", "disable {}", "rotate-key {}", "rotate-key --retire {}", "numbers add {} 1", "numbers remove {} 1"],
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
        assert result.stderr == "Error: The database could not be reached\n"


class TestAdd:
    def test_prints_what_scripts_rely_on(self, told, keys):
        added = told("clients", "add", "--name", "Asha Clinics", "--number", NUMBER, "--number", OTHER_NUMBER)

        assert list(added) == ["id", "name", "numbers", "webhookKey", "webhookUrl"]
        assert (added["name"], added["numbers"]) == ("Asha Clinics", [NUMBER, OTHER_NUMBER])
        assert keys.verify(added["webhookKey"]) == Claim(UUID(added["id"]), 1)

    def test_prints_the_url_to_register_with_exotel(self, told):
        added = told("clients", "add", "--name", "A", "--base-url", "https://caly.example/")

        assert added["webhookUrl"] == f"https://caly.example/webhooks/exotel/call-start?key={added['webhookKey']}"

    def test_takes_the_address_from_the_servers_own_variables(self, told, monkeypatch):
        monkeypatch.setenv("HOST", "0.0.0.0")  # noqa: S104 - a name in a URL, nothing is bound
        monkeypatch.setenv("PORT", "8080")

        added = told("clients", "add", "--name", "A")

        assert added["webhookUrl"].startswith("http://0.0.0.0:8080/webhooks/exotel/call-start?key=cwk_")

    def test_prints_a_table(self, caly, keys):
        result = caly("clients", "add", "--name", "नमस्ते Clinics", "--number", NUMBER, "--base-url", "http://here")

        lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
        key = keys.mint(UUID(lines["id"]), 1)
        assert result.stdout == (
            f"id          {lines['id']}\n"
            f"name        नमस्ते Clinics\n"
            f"numbers     {NUMBER}\n"
            f"webhookKey  {key}\n"
            f"webhookUrl  http://here/webhooks/exotel/call-start?key={key}\n"
        )

    def test_takes_all_shapes_of_a_number_for_one(self, told):
        given = [argument for shape in SHAPES for argument in ("--number", shape)]

        assert told("clients", "add", "--name", "A", *given)["numbers"] == [NUMBER]

    def test_refuses_a_name_that_is_taken(self, caly, asha):
        result = caly("clients", "add", "--name", asha["name"])

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: There is already a client named 'Asha Clinics'\n"

    def test_refuses_a_number_that_is_taken_in_any_shape(self, caly, asha):
        results = [caly("clients", "add", "--name", "B", "--number", shape) for shape in SHAPES]

        sentence = "Error: The number *********45 belongs to a client already\n"
        assert [(result.exit_code, result.stdout, result.stderr) for result in results] == [(1, "", sentence)] * 3


class TestList:
    def test_prints_a_table_with_a_line_for_each_client(self, caly, told, asha):
        bina = told("clients", "add", "--name", "Bina", "--number", OTHER_NUMBER, "--number", "+918047112347")
        chand = told("clients", "add", "--name", "Chand")
        told("clients", "disable", chand["id"])

        result = caly("clients", "list")

        both = "+918047112346, +918047112347"
        assert result.exit_code == 0
        assert result.stdout == (
            f"{'id':36}  name          {'numbers':28}  keyVersion  oldestKeyVersion  disabled\n"
            f"{asha['id']}  Asha Clinics  {NUMBER:28}  1           1                 no\n"
            f"{bina['id']}  Bina          {both}  1           1                 no\n"
            f"{chand['id']}  Chand         {'-':28}  1           1                 yes\n"
        )

    def test_prints_json(self, told, asha):
        assert told("clients", "list") == [summary(asha)]

    def test_has_words_for_nobody(self, caly, told):
        assert caly("clients", "list").stdout == "None.\n"
        assert told("clients", "list") == []


class TestShow:
    def test_prints_a_client_without_its_key(self, caly, told, asha):
        assert caly("clients", "show", asha["id"]).stdout == table(asha)
        assert told("clients", "show", asha["id"]) == summary(asha)

    def test_prints_the_key_to_whoever_asks_for_it(self, told, asha):
        assert told("clients", "show", asha["id"], "--with-key") == asha


class TestDisable:
    def test_prints_the_client_as_it_is_then(self, told, asha):
        assert told("clients", "disable", asha["id"]) == summary(asha, disabled=True)
        assert told("clients", "show", asha["id"]) == summary(asha, disabled=True)

    def test_prints_a_table(self, caly, asha):
        assert caly("clients", "disable", asha["id"]).stdout == table(asha, disabled="yes")

    def test_ends_with_1_the_second_time(self, caly, asha):
        caly("clients", "disable", asha["id"])

        result = caly("clients", "disable", asha["id"])

        assert (result.exit_code, result.stderr) == (1, "Error: 'Asha Clinics' is disabled already\n")


class TestRotateKey:
    def test_prints_the_new_key(self, told, keys, asha):
        rotated = told("clients", "rotate-key", asha["id"])

        assert list(rotated) == list(asha)
        assert keys.verify(rotated["webhookKey"]) == Claim(UUID(asha["id"]), 2)
        assert told("clients", "show", asha["id"]) == summary(asha, newest=2)

    def test_ends_the_older_keys_with_retire_and_prints_the_one_that_stays(self, told, asha):
        rotated = told("clients", "rotate-key", asha["id"])

        retired = told("clients", "rotate-key", asha["id"], "--retire")

        assert retired == rotated
        assert told("clients", "show", asha["id"]) == summary(asha, newest=2, oldest=2)

    def test_prints_a_table(self, caly, keys, asha):
        result = caly("clients", "rotate-key", asha["id"])

        assert f"webhookKey  {keys.mint(UUID(asha['id']), 2)}\n" in result.stdout

    def test_ends_with_1_if_there_is_no_older_key_to_retire(self, caly, asha):
        result = caly("clients", "rotate-key", asha["id"], "--retire")

        assert (result.exit_code, result.stderr) == (1, "Error: 'Asha Clinics' has no older key to retire\n")


class TestNumbers:
    def test_add_prints_the_client_with_the_number(self, told, asha):
        changed = told("clients", "numbers", "add", asha["id"], "08047112346")

        assert changed == summary(asha, numbers=(NUMBER, OTHER_NUMBER))

    def test_remove_knows_the_number_in_any_shape(self, told, asha):
        for shape in SHAPES:
            assert told("clients", "numbers", "remove", asha["id"], shape) == summary(asha, numbers=())
            told("clients", "numbers", "add", asha["id"], NUMBER)

    def test_print_tables(self, caly, asha):
        added = caly("clients", "numbers", "add", asha["id"], OTHER_NUMBER)
        removed = caly("clients", "numbers", "remove", asha["id"], NUMBER)

        assert added.stdout == table(asha, numbers=f"{NUMBER}, {OTHER_NUMBER}")
        assert removed.stdout == table(asha, numbers=OTHER_NUMBER)

    def test_add_ends_with_1_for_a_number_that_is_taken(self, caly, asha):
        result = caly("clients", "numbers", "add", asha["id"], NUMBER)

        assert (result.exit_code, result.stderr) == (1, "Error: The number *********45 belongs to a client already\n")

    def test_remove_ends_with_1_for_a_number_that_the_client_does_not_have(self, caly, asha):
        result = caly("clients", "numbers", "remove", asha["id"], OTHER_NUMBER)

        assert (result.exit_code, result.stderr) == (1, "Error: 'Asha Clinics' does not have this number\n")


class TestDemo:
    def test_makes_one_client_however_often_it_is_called(self, caly, told):
        first, second = caly("demo"), caly("demo")

        assert (first.exit_code, second.exit_code) == (0, 0)
        assert first.stdout == second.stdout
        assert [(known["name"], known["numbers"]) for known in told("clients", "list")] == [("Demo", [NUMBER])]

    def test_prints_a_curl_line_that_is_answered_with_a_stream(self, caly, client):
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
        """The application as in production, on the test's database."""
        keys = {name: name * 4 for name in ("SECRET_KEY", "WEBHOOK_ROOT_KEY", "STREAM_TOKEN_KEY")}
        rest = {"ENCRYPTION_KEY": "ab" * 32, "STREAM_BASE_URL": "wss://media.example", "DATABASE_URL": database_url}
        app = create_app(Settings.from_env({"APP_ENV": "production", **keys, **rest}))
        yield app
        app.extensions["caly"].close()


class TestRebuild:
    @pytest.fixture
    def a_call(self, client, asha):
        client.post(asha["webhookUrl"], data={"CallSid": "s1", "From": "09876543210", "To": NUMBER})

    @pytest.mark.usefixtures("a_call")
    def test_says_that_there_is_nothing_to_change(self, caly):
        result = caly("calls", "rebuild", "--dry-run")

        assert (result.exit_code, result.stdout) == (0, "None.\n")

    @pytest.mark.usefixtures("a_call")
    def test_ends_with_1_where_a_dry_run_finds_a_difference(self, caly, told, query):
        query("UPDATE calls SET status = 'busy', phase = 'over', evidence = 'busy'")

        result = caly("calls", "rebuild", "--dry-run", "--json")

        assert result.exit_code == 1
        (found,) = json.loads(result.stdout)
        assert (found["callSid"], found["changes"][0]) == ("s1", "status: busy → initiated")
        assert caly("calls", "rebuild").exit_code == 0
        assert query("SELECT status FROM calls") == [("initiated",)]


class TestSimulate:
    """Against a server that runs: see the system tests. Here nothing listens, and nothing is sent."""

    def simulate(self, caly, *options: str):
        fixed = ("--base-url", "http://127.0.0.1:1", "--key", "cwk_canary", "--number", NUMBER)
        return caly("simulate", *fixed, *options)

    @pytest.mark.parametrize("share", ["101%", "-1%", "some", "%", "1.5%", "²%"])
    def test_ends_with_2_for_a_share_that_is_none(self, caly, share):
        result = self.simulate(caly, f"--drop={share}")

        assert result.exit_code == 2
        assert "is not between 0% and 100%." in result.stderr

    @pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here", "http://user@here", "http://here/?a=b"])
    def test_ends_with_2_for_an_address_that_is_none(self, caly, url):
        result = self.simulate(caly, "--base-url", url)

        assert result.exit_code == 2
        assert "--base-url must be" in result.stderr

    def test_ends_with_2_for_a_database_that_is_none_and_does_not_repeat_it(self, caly):
        result = self.simulate(caly, "--database-url", "mysql://u:canary@h/d")

        assert result.exit_code == 2
        assert "postgresql://" in result.stderr
        assert "canary" not in result.stderr

    def test_ends_with_1_for_a_number_that_no_client_has(self, caly):
        result = self.simulate(caly)

        assert (result.exit_code, result.stderr) == (1, "Error: No client in this database has the number.\n")

    @pytest.mark.usefixtures("asha")
    def test_ends_with_1_where_nobody_answers_and_prints_no_key(self, caly):
        result = self.simulate(caly, "--calls", "1", "--compress", "1000000", "--seed", "7")

        assert result.exit_code == 1
        assert "No delivery was acknowledged" in result.stderr
        assert dict(line.split(maxsplit=1) for line in result.stdout.splitlines()) == {
            "calls": "1",
            "deliveries": "4",
            "differences": "0",
            "p50ms": "None",
            "p99ms": "None",
            "answers": "no answer × 12",
            "seed": "7",
        }
        assert "canary" not in result.output

    @pytest.mark.usefixtures("asha")
    def test_compares_with_the_database_that_is_given(self, caly, empty_database_url):
        result = self.simulate(caly, "--database-url", empty_database_url)

        assert (result.exit_code, result.stdout) == (1, "")
