import pytest

from calyapp.access.principal import Role


@pytest.fixture
def ravi(app):
    parts = app.extensions["caly"]
    return parts.users.add("ravi@caly.example", "hash", Role.ADMIN)


class TestClient:
    @pytest.mark.parametrize("reference", ["{id}", "Asha Clinics", "+918047112345", "080 4711 2345"])
    @pytest.mark.parametrize(
        "command",
        [
            "clients show {}",
            "clients set-greeting {} --voice man",
            "clients rotate-key {}",
            "clients disable {}",
            "clients numbers add {} +918047112399",
            "users set-role ravi@caly.example client --client {}",
            "keys create --name A --role client --client {}",
            "calls list --client {}",
            "calls rebuild --client {}",
            "audit list --client {}",
        ],
    )
    @pytest.mark.usefixtures("ravi")
    def test_is_found_by_id_name_or_number(self, caly, asha, command, reference):
        named = reference.format(id=asha["id"])

        result = caly(*(named if word == "{}" else word for word in command.split()))

        assert result.exit_code == 0

    def test_is_reported_if_it_does_not_exist(self, caly):
        result = caly("clients", "show", "Nobody")

        assert (result.exit_code, result.stderr) == (
            1,
            "Error: There is no client with the id, name or number 'Nobody'; see `flask caly clients list`.\n",
        )


class TestUser:
    @pytest.mark.parametrize(
        "command",
        ["suspend {}", "set-role {} auditor", "revoke-sessions {}", "delete {}"],
    )
    @pytest.mark.usefixtures("ravi")
    def test_is_found_by_email_address(self, caly, command):
        result = caly("users", *command.format("Ravi@caly.example").split())

        assert (result.exit_code, result.stderr) == (0, "")

    def test_is_reported_if_it_does_not_exist(self, caly):
        result = caly("users", "suspend", "nobody@caly.example")

        assert (result.exit_code, result.stderr) == (
            1,
            "Error: No user has the address 'nobody@caly.example'. See `flask caly users list`.\n",
        )
