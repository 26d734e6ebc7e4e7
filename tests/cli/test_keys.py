from uuid import uuid4

import pytest


@pytest.fixture
def create(told):
    return lambda *options: told("keys", "create", "--name", "Report", *options)


@pytest.fixture
def knows(app):
    """`knows(key)` returns whether authentication accepts the key."""
    return lambda key: app.extensions["caly"].authentication.identify(key) is not None


class TestCreate:
    def test_prints_the_key_and_its_fields_as_json(self, create, asha, knows):
        made = create("--role", "client", "--client", asha["id"])

        assert set(made) == {"id", "name", "role", "clientId", "key"}
        assert (made["name"], made["role"], made["clientId"]) == ("Report", "client", asha["id"])
        assert knows(made["key"])

    def test_prints_a_key_that_list_does_not_print(self, create, caly):
        made = create("--role", "admin")

        assert made["key"] not in caly("keys", "list").stdout + caly("keys", "list", "--json").stdout

    def test_accepts_the_number_of_days_until_the_key_expires(self, create, told, query):
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
    def test_exits_with_2_for_invalid_arguments(self, caly, options):
        result = caly("keys", "create", "--name", "Report", *options)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Usage: ")

    def test_exits_with_1_for_an_unknown_client(self, caly):
        result = caly("keys", "create", "--name", "Report", "--role", "client", "--client", uuid4())

        assert (result.exit_code, result.stderr) == (1, "Error: There is no client with this id\n")


class TestList:
    def test_prints_the_prefixes_of_keys(self, create, told):
        made = create("--role", "auditor")

        (listed,) = told("keys", "list")
        assert made["key"].startswith(listed["prefix"])
        assert (listed["lastUsedAt"], listed["revokedAt"]) == (None, None)


class TestRevoke:
    def test_makes_the_key_invalid(self, create, told, knows):
        made = create("--role", "admin")

        revoked = told("keys", "revoke", made["id"])

        assert revoked["revokedAt"] is not None
        assert not knows(made["key"])

    def test_fails_for_an_unknown_key(self, caly):
        result = caly("keys", "revoke", uuid4())

        assert (result.exit_code, result.stderr) == (1, "Error: No API key has this id\n")
