from uuid import uuid4

import pytest


@pytest.fixture
def create(told):
    return lambda *options: told("keys", "create", "--name", "Report", *options)


@pytest.fixture
def knows(app):
    """`knows(key)`: whether somebody is identified by it."""
    return lambda key: app.extensions["caly"].authentication.identify(key) is not None


class TestCreate:
    def test_prints_what_scripts_rely_on(self, create, asha, knows):
        made = create("--role", "client", "--client", asha["id"])

        assert set(made) == {"id", "name", "role", "clientId", "key"}
        assert (made["name"], made["role"], made["clientId"]) == ("Report", "client", asha["id"])
        assert knows(made["key"])

    def test_never_prints_the_key_again(self, create, caly):
        made = create("--role", "admin")

        assert made["key"] not in caly("keys", "list").stdout + caly("keys", "list", "--json").stdout

    def test_takes_the_days_after_which_it_is_refused(self, create, told, query):
        create("--role", "admin", "--expires", "30")

        assert query("SELECT round(extract(epoch FROM expires_at - created_at) / 86400) FROM api_keys") == [(30,)]
        assert told("keys", "list")[0]["expiresAt"] is not None

    @pytest.mark.parametrize(
        "options",
        [
            ("--role", "client"),
            ("--role", "admin", "--client", str(uuid4())),
            ("--role", "admin", "--expires", "0"),
            ("--role", "king"),
        ],
    )
    def test_ends_with_2_for_a_wrong_call(self, caly, options):
        result = caly("keys", "create", "--name", "Report", *options)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Usage: ")

    def test_ends_with_1_for_a_client_that_is_not_there(self, caly):
        result = caly("keys", "create", "--name", "Report", "--role", "client", "--client", uuid4())

        assert (result.exit_code, result.stderr) == (1, "Error: There is no client with this id\n")


class TestList:
    def test_shows_keys_by_their_beginning(self, create, told):
        made = create("--role", "auditor")

        (listed,) = told("keys", "list")
        assert made["key"].startswith(listed["prefix"])
        assert (listed["lastUsedAt"], listed["revokedAt"]) == (None, None)


class TestRevoke:
    def test_refuses_the_key_from_now_on(self, create, told, knows):
        made = create("--role", "admin")

        revoked = told("keys", "revoke", made["id"])

        assert revoked["revokedAt"] is not None
        assert not knows(made["key"])

    def test_does_not_find_a_key_that_is_not_there(self, caly):
        result = caly("keys", "revoke", uuid4())

        assert (result.exit_code, result.stderr) == (1, "Error: No API key has this id\n")
