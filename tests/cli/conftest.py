"""Commands run in this process, and a client to run them on."""

import json

import pytest

NUMBER = "+918047112345"


@pytest.fixture
def caly(app):
    """`caly(*arguments, stdin=…)`: how `flask caly …` ends."""
    return lambda *arguments, stdin=None: app.test_cli_runner().invoke(args=["caly", *map(str, arguments)], input=stdin)


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
def api(client, told):
    """`api(path)`: what the records API shows an admin there."""
    key = told("keys", "create", "--name", "Reader", "--role", "admin")["key"]
    return lambda path: client.get(path, headers={"Authorization": f"Bearer {key}"}).get_json()


@pytest.fixture
def keys(app):
    return app.extensions["caly"].webhook_keys
