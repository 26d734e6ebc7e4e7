from uuid import UUID

import pytest

from calyapp.clients.keys import Claim

NUMBER, OTHER_NUMBER = "+918047112345", "+918047112346"
SHAPES = ["08047112345", "+91 80471 12345", "918047112345"]


def summary(client, *, numbers=(NUMBER,), newest=1, oldest=1, disabled=False):
    """The fields that `list` and the commands that change a client print."""
    return {
        "id": client["id"],
        "name": client["name"],
        "numbers": list(numbers),
        "keyVersion": newest,
        "oldestKeyVersion": oldest,
        "disabled": disabled,
    }


def shown(client, **others):
    """The fields that `show` prints for a client without its own greeting."""
    return summary(client, **others) | {"sayText": None, "sayVoice": None, "sayLanguage": None, "exotelAccount": None}


def table(client, *, numbers=NUMBER, newest=1, oldest=1, disabled="no"):
    """The same fields as a table."""
    return (
        f"id                {client['id']}\n"
        f"name              Asha Clinics\n"
        f"numbers           {numbers}\n"
        f"keyVersion        {newest}\n"
        f"oldestKeyVersion  {oldest}\n"
        f"disabled          {disabled}\n"
    )


class TestAdd:
    def test_prints_name_numbers_and_webhook_key_as_json(self, told, keys):
        added = told("clients", "add", "--name", "Asha Clinics", "--number", NUMBER, "--number", OTHER_NUMBER)

        assert list(added) == ["id", "name", "numbers", "webhookKey", "webhookUrl"]
        assert (added["name"], added["numbers"]) == ("Asha Clinics", [NUMBER, OTHER_NUMBER])
        assert keys.verify(added["webhookKey"]) == Claim(UUID(added["id"]), 1)

    def test_prints_the_url_to_register_with_exotel(self, told):
        added = told("clients", "add", "--name", "A", "--base-url", "https://caly.example/")

        assert added["webhookUrl"] == f"https://caly.example/webhooks/exotel/call-start?key={added['webhookKey']}"

    def test_takes_the_address_from_the_variables_of_the_server(self, told, monkeypatch):
        monkeypatch.setenv("HOST", "0.0.0.0")  # noqa: S104 - a name in a URL, nothing is bound
        monkeypatch.setenv("PORT", "8080")

        added = told("clients", "add", "--name", "A")

        assert added["webhookUrl"].startswith("http://127.0.0.1:8080/webhooks/exotel/call-start?key=cwk_")

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

    def test_accepts_repeated_numbers_in_different_formats_as_one(self, told):
        given = [argument for shape in SHAPES for argument in ("--number", shape)]

        assert told("clients", "add", "--name", "A", *given)["numbers"] == [NUMBER]

    def test_refuses_the_name_of_another_client(self, caly, asha):
        result = caly("clients", "add", "--name", asha["name"])

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: There is already a client named 'Asha Clinics'\n"

    def test_refuses_the_number_of_another_client_in_every_format(self, caly, asha):
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

    def test_prints_none_without_clients(self, caly, told):
        assert caly("clients", "list").stdout == "None.\n"
        assert told("clients", "list") == []


class TestShow:
    def test_prints_a_client_without_its_key(self, caly, told, asha):
        assert caly("clients", "show", asha["id"]).stdout == (
            table(asha) + "sayText           -\nsayVoice          -\nsayLanguage       -\nexotelAccount     -\n"
        )
        assert told("clients", "show", asha["id"]) == shown(asha)

    def test_prints_the_key_with_the_option(self, told, asha):
        assert told("clients", "show", asha["id"], "--with-key") == asha


class TestDisable:
    def test_prints_the_changed_client(self, told, asha):
        assert told("clients", "disable", asha["id"]) == summary(asha, disabled=True)
        assert told("clients", "show", asha["id"]) == shown(asha, disabled=True)

    def test_prints_a_table(self, caly, asha):
        assert caly("clients", "disable", asha["id"]).stdout == table(asha, disabled="yes")

    def test_exits_with_1_for_a_disabled_client(self, caly, asha):
        caly("clients", "disable", asha["id"])

        result = caly("clients", "disable", asha["id"])

        assert (result.exit_code, result.stderr) == (1, "Error: 'Asha Clinics' is disabled already\n")


class TestSetGreeting:
    def test_changes_only_the_given_fields(self, told, asha):
        told("clients", "set-greeting", asha["id"], "--text", "வணக்கம்", "--language", "ta-IN")

        changed = told("clients", "set-greeting", asha["id"], "--voice", "man")

        assert changed == summary(asha) | {
            "sayText": "வணக்கம்",
            "sayVoice": "man",
            "sayLanguage": "ta-IN",
            "exotelAccount": None,
        }

    def test_restores_the_greeting_of_the_deployment(self, told, asha):
        told("clients", "set-greeting", asha["id"], "--text", "Vanakkam")

        assert told("clients", "set-greeting", asha["id"], "--default")["sayText"] is None

    @pytest.mark.parametrize("options", [[], ["--default", "--voice", "man"]])
    def test_requires_either_values_or_the_default(self, caly, asha, options):
        result = caly("clients", "set-greeting", asha["id"], *options)

        assert result.exit_code == 2
        assert "Give --text, --voice or --language, or --default alone." in result.stderr

    @pytest.mark.parametrize(
        ("option", "value", "sentence"),
        [
            ("--text", "two\nlines", "one line"),
            ("--voice", "wo man", "the name of a voice"),
            ("--language", "Hindi", "hi-IN"),
        ],
    )
    def test_refuses_values_that_the_settings_refuse(self, caly, told, asha, option, value, sentence):
        result = caly("clients", "set-greeting", asha["id"], option, value)

        assert result.exit_code == 2
        assert sentence in result.stderr
        assert told("clients", "show", asha["id"])["sayText"] is None


class TestConnectExotel:
    @pytest.fixture
    def connect(self, app, asha):
        """`connect(lines)` runs the command with these lines on standard input and returns its result."""
        command = ["caly", "clients", "connect-exotel", asha["id"], "--account-sid", "asha1", "--credentials-stdin"]
        return lambda lines: app.test_cli_runner().invoke(args=command, input=lines)

    def test_stores_the_credentials_and_does_not_print_them(self, app, told, asha, connect):
        result = connect("canaryKey\r\ncanaryToken\r\n")

        kept = app.extensions["caly"].exotel_accounts.get(UUID(asha["id"]))
        assert (kept.api_key.reveal(), kept.api_token.reveal()) == ("canaryKey", "canaryToken")
        assert (result.exit_code, "canary" in result.output) == (0, False)
        assert told("clients", "show", asha["id"])["exotelAccount"] == "asha1"

    @pytest.mark.parametrize(
        ("lines", "sentence"),
        [
            ("", "The API key must be 8 to 128 letters, digits, - or _."),
            ("canaryKey\n", "The API token must be 8 to 128 letters, digits, - or _."),
            ("canaryKey\ncanary Token\n", "The API token must be 8 to 128 letters, digits, - or _."),
            (b"canary\xff\n", "The API key must be written in UTF-8."),
        ],
    )
    def test_refuses_invalid_credentials_without_repeating_them(self, told, asha, connect, lines, sentence):
        result = connect(lines)

        assert (result.exit_code, result.output) == (1, f"Error: {sentence}\n")
        assert told("clients", "show", asha["id"])["exotelAccount"] is None

    def test_is_reverted_by_disconnect_exotel(self, told, caly, asha, connect):
        connect("canaryKey\ncanaryToken\n")

        assert told("clients", "disconnect-exotel", asha["id"]) == {"id": asha["id"], "exotelAccount": None}
        again = caly("clients", "disconnect-exotel", asha["id"])
        assert (again.exit_code, again.stderr) == (1, "Error: This client is not connected to Exotel\n")


class TestRotateKey:
    def test_prints_the_new_key(self, told, keys, asha):
        rotated = told("clients", "rotate-key", asha["id"])

        assert list(rotated) == list(asha)
        assert keys.verify(rotated["webhookKey"]) == Claim(UUID(asha["id"]), 2)
        assert told("clients", "show", asha["id"]) == shown(asha, newest=2)

    def test_revokes_older_keys_with_retire_and_prints_the_remaining_key(self, told, asha):
        rotated = told("clients", "rotate-key", asha["id"])

        retired = told("clients", "rotate-key", asha["id"], "--retire")

        assert retired == rotated
        assert told("clients", "show", asha["id"]) == shown(asha, newest=2, oldest=2)

    def test_prints_a_table(self, caly, keys, asha):
        result = caly("clients", "rotate-key", asha["id"])

        assert f"webhookKey  {keys.mint(UUID(asha['id']), 2)}\n" in result.stdout

    def test_exits_with_1_if_there_is_no_older_key_to_retire(self, caly, asha):
        result = caly("clients", "rotate-key", asha["id"], "--retire")

        assert (result.exit_code, result.stderr) == (1, "Error: 'Asha Clinics' has no older key to retire\n")


class TestNumbers:
    def test_add_prints_the_client_with_the_number(self, told, asha):
        changed = told("clients", "numbers", "add", asha["id"], "08047112346")

        assert changed == summary(asha, numbers=(NUMBER, OTHER_NUMBER))

    def test_remove_accepts_the_number_in_every_format(self, told, asha):
        for shape in SHAPES:
            assert told("clients", "numbers", "remove", asha["id"], shape) == summary(asha, numbers=())
            told("clients", "numbers", "add", asha["id"], NUMBER)

    def test_print_tables(self, caly, asha):
        added = caly("clients", "numbers", "add", asha["id"], OTHER_NUMBER)
        removed = caly("clients", "numbers", "remove", asha["id"], NUMBER)

        assert added.stdout == table(asha, numbers=f"{NUMBER}, {OTHER_NUMBER}")
        assert removed.stdout == table(asha, numbers=OTHER_NUMBER)

    def test_add_exits_with_1_for_the_number_of_another_client(self, caly, asha):
        result = caly("clients", "numbers", "add", asha["id"], NUMBER)

        assert (result.exit_code, result.stderr) == (1, "Error: The number *********45 belongs to a client already\n")

    def test_remove_exits_with_1_for_a_number_that_the_client_does_not_own(self, caly, asha):
        result = caly("clients", "numbers", "remove", asha["id"], OTHER_NUMBER)

        assert (result.exit_code, result.stderr) == (1, "Error: 'Asha Clinics' does not have this number\n")
