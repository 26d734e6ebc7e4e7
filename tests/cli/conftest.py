"""Fixtures that run commands in this process, and a client for them."""

import json

import pytest

NUMBER = "+918047112345"


@pytest.fixture
def caly(app):
    """`caly(*arguments, stdin=…)` runs `flask caly …` and returns its result."""
    return lambda *arguments, stdin=None: app.test_cli_runner().invoke(args=["caly", *map(str, arguments)], input=stdin)


@pytest.fixture
def told(caly):
    """`told(*arguments)` returns the parsed output of the command with --json."""

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
    """`api(path)` returns what the records API answers an admin."""
    key = told("keys", "create", "--name", "Reader", "--role", "admin")["key"]
    return lambda path: client.get(path, headers={"Authorization": f"Bearer {key}"}).get_json()


@pytest.fixture
def keys(app):
    return app.extensions["caly"].webhook_keys
