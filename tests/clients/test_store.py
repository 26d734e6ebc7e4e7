from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from calyapp import clock
from calyapp.access.principal import Role
from calyapp.errors import ConflictError, NotFoundError

ONE, TWO, THREE = "+918047112345", "+918047112346", "+918047112347"


@pytest.fixture
def store(services):
    return services.clients


@pytest.fixture
def audited(query):
    """`audited()` returns type, description and changes of each audit entry, in order."""
    return lambda: query("SELECT event_type, description, changes FROM audit_logs ORDER BY created_at, id")


@pytest.fixture
def stored(query):
    """`stored()` returns all rows of clients, numbers and audit entries."""
    return lambda: (
        query("SELECT * FROM clients ORDER BY id"),
        query("SELECT * FROM client_numbers ORDER BY number"),
        query("SELECT * FROM audit_logs ORDER BY id"),
    )


def audited_state(name, *numbers, newest=1, oldest=1, disabled_at=None):
    """Returns what the audit log keeps of a client."""
    return {
        "name": name,
        "numbers": list(numbers),
        "keyVersion": newest,
        "oldestKeyVersion": oldest,
        "sayText": None,
        "sayVoice": None,
        "sayLanguage": None,
        "disabledAt": disabled_at,
    }


def result_or_conflict(action, *arguments):
    """Returns what the action returns, or its `ConflictError`."""
    try:
        return action(*arguments)
    except ConflictError as error:
        return error


class TestReading:
    def test_returns_a_client_as_it_was_added(self, store):
        added = store.add("Asha Clinics", [TWO, ONE])

        assert store.get(added.id) == added
        assert (added.name, added.numbers) == ("Asha Clinics", (ONE, TWO))
        assert (added.key_version, added.oldest_key_version, added.disabled_at) == (1, 1, None)

    def test_lists_all_clients_by_name_including_disabled_ones(self, store):
        second, first = store.add("B", [ONE]), store.add("A", [])
        second = store.disable(second.id)

        assert store.all() == [first, second]

    def test_finds_the_owner_of_a_number_with_all_its_numbers(self, store):
        store.add("Other", [THREE])
        owner = store.add("Owner", [ONE, TWO])

        assert store.owner(TWO) == owner
        assert store.owner("+918047112399") is None

    def test_raises_for_an_unknown_client(self, store):
        with pytest.raises(NotFoundError, match="There is no client with this id"):
            store.get(uuid4())


class TestAdd:
    def test_writes_an_audit_entry_with_the_client(self, store, query):
        added = store.add("Asha Clinics", [ONE])

        identifier = str(added.id)
        assert query(
            "SELECT event_type, severity, status, client_id::text, resource, resource_id, description, metadata, "
            "changes FROM audit_logs"
        ) == [
            (
                *("DATA_CREATED", "LOW", "success", identifier, "client", identifier, "Client added"),
                *({"via": "command line"}, {"after": audited_state("Asha Clinics", ONE)}),
            )
        ]

    def test_ignores_repeated_numbers(self, store):
        assert store.add("A", [ONE, TWO, ONE]).numbers == (ONE, TWO)

    def test_refuses_a_taken_name_and_stores_nothing(self, store, stored):
        store.add("Asha Clinics", [ONE])
        before = stored()

        with pytest.raises(ConflictError, match="There is already a client named 'Asha Clinics'"):
            store.add("Asha Clinics", [TWO])

        assert stored() == before

    def test_refuses_a_taken_number_and_stores_nothing(self, store, stored):
        store.add("A", [TWO])
        before = stored()

        with pytest.raises(ConflictError, match="belongs to a client already") as caught:
            store.add("B", [ONE, TWO])

        assert TWO not in caught.value.message
        assert stored() == before

    def test_gives_a_name_to_one_of_eight_concurrent_calls(self, store, audited):
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(lambda _: result_or_conflict(store.add, "A", []), range(8)))

        assert sum(isinstance(result, ConflictError) for result in results) == 7
        assert len(store.all()) == len(audited()) == 1

    def test_gives_a_number_to_one_of_eight_concurrent_calls(self, store, audited):
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(lambda name: result_or_conflict(store.add, name, [ONE]), "ABCDEFGH"))

        assert sum(isinstance(result, ConflictError) for result in results) == 7
        assert store.all() == [store.owner(ONE)]
        assert len(audited()) == 1


class TestAddNumber:
    def test_adds_the_number_and_writes_an_audit_entry(self, store, audited):
        client = store.add("A", [TWO])

        changed = store.add_number(client.id, ONE)

        assert changed.numbers == (ONE, TWO)
        assert store.owner(ONE) == changed
        assert audited()[1:] == [
            ("DATA_UPDATED", "Number added", {"before": audited_state("A", TWO), "after": audited_state("A", ONE, TWO)})
        ]

    @pytest.mark.parametrize("whose", ["A", "B"])
    def test_refuses_a_taken_number_even_of_the_same_client(self, store, stored, whose):
        clients = {"A": store.add("A", [ONE]), "B": store.add("B", [TWO])}
        before = stored()

        with pytest.raises(ConflictError, match="belongs to a client already"):
            store.add_number(clients[whose].id, ONE)

        assert stored() == before


class TestRemoveNumber:
    def test_removes_the_number_and_writes_an_audit_entry(self, store, audited):
        client = store.add("A", [ONE, TWO])

        changed = store.remove_number(client.id, ONE)

        assert changed.numbers == (TWO,)
        assert store.owner(ONE) is None
        assert audited()[1:] == [
            (
                "DATA_UPDATED",
                "Number removed",
                {"before": audited_state("A", ONE, TWO), "after": audited_state("A", TWO)},
            )
        ]

    def test_frees_the_number_for_another_client(self, store):
        client, other = store.add("A", [ONE]), store.add("B", [])
        store.remove_number(client.id, ONE)

        assert store.add_number(other.id, ONE).numbers == (ONE,)

    def test_refuses_a_number_of_another_client(self, store, stored):
        client, _other = store.add("A", [ONE]), store.add("B", [TWO])
        before = stored()

        with pytest.raises(NotFoundError, match="'A' does not have this number"):
            store.remove_number(client.id, TWO)

        assert stored() == before


class TestFind:
    def test_finds_a_client_by_its_name_or_a_number(self, store):
        client = store.add("Asha Clinics", [ONE])

        assert store.find(" Asha  Clinics ", None) == store.find(ONE, ONE) == client

    def test_prefers_the_name_over_the_number(self, store):
        named, numbered = store.add(ONE, []), store.add("B", [ONE])

        assert store.find(ONE, ONE) == named
        assert store.owner(ONE) == numbered

    def test_names_the_command_that_lists_clients(self, store):
        with pytest.raises(NotFoundError, match="'Unknown'; see `flask caly clients list`"):
            store.find("Unknown", None)


class TestEnable:
    def test_writes_an_audit_entry(self, store, audited):
        client = store.add("A", [ONE])
        store.disable(client.id)

        enabled = store.enable(client.id)

        type_, description, changes = audited()[-1]
        assert (type_, description) == ("CLIENT_ENABLED", "Client enabled")
        assert changes["after"] == audited_state("A", ONE)
        assert enabled == client

    def test_refuses_a_client_that_is_not_disabled(self, store, stored):
        client = store.add("A", [])
        before = stored()

        with pytest.raises(ConflictError, match="'A' is not disabled"):
            store.enable(client.id)

        assert stored() == before


class TestUsage:
    def test_counts_active_users_and_keys_only(self, store, services):
        client = store.add("A", [ONE])
        services.users.add("a@caly.example", "hash", Role.CLIENT, client.id)
        suspended = services.users.add("b@caly.example", "hash", Role.CLIENT, client.id)
        services.users.suspend(suspended.id)
        services.api_keys.create("A", Role.CLIENT, client.id)
        revoked, _ = services.api_keys.create("B", Role.CLIENT, client.id)
        services.api_keys.revoke(revoked.id)

        assert store.usage(client.id, clock.now()) == (1, 1, 0)


class TestDisable:
    def test_stores_the_time_and_keeps_the_numbers(self, store, audited):
        client = store.add("A", [ONE])

        disabled = store.disable(client.id)

        assert disabled.disabled_at is not None
        assert disabled.numbers == (ONE,)
        ((type_, description, changes),) = audited()[1:]
        assert (type_, description) == ("CLIENT_DISABLED", "Client disabled")
        assert changes["before"] == audited_state("A", ONE)
        assert changes["after"] == audited_state("A", ONE, disabled_at=changes["after"]["disabledAt"])
        assert changes["after"]["disabledAt"].startswith(f"{disabled.disabled_at:%Y-%m-%dT%H:%M:%S}")

    def test_refuses_a_disabled_client(self, store, stored):
        client = store.add("A", [])
        store.disable(client.id)
        before = stored()

        with pytest.raises(ConflictError, match="'A' is disabled already"):
            store.disable(client.id)

        assert stored() == before


class TestGreeting:
    def test_changes_are_audited_with_the_values_before_and_after(self, store, audited):
        client = store.add("A", [])

        store.set_greeting(client.id, text="Vanakkam")
        store.reset_greeting(client.id)

        with_greeting = audited_state("A") | {"sayText": "Vanakkam"}
        assert audited()[1:] == [
            ("SETTINGS_CHANGED", "Greeting changed", {"before": audited_state("A"), "after": with_greeting}),
            ("SETTINGS_CHANGED", "Greeting changed", {"before": with_greeting, "after": audited_state("A")}),
        ]


class TestKeyVersions:
    def test_rotation_adds_a_version_and_keeps_the_others(self, store, audited):
        client = store.add("A", [])

        rotated = store.rotate_key(client.id)

        assert (rotated.oldest_key_version, rotated.key_version) == (1, 2)
        assert audited()[1:] == [
            (
                "WEBHOOK_KEY_ROTATED",
                "Webhook key rotated",
                {"before": audited_state("A"), "after": audited_state("A", newest=2)},
            )
        ]

    def test_retirement_leaves_the_newest_version(self, store, audited):
        client = store.add("A", [])
        store.rotate_key(client.id)
        store.rotate_key(client.id)

        retired = store.retire_keys(client.id)

        assert (retired.oldest_key_version, retired.key_version) == (3, 3)
        assert audited()[3:] == [
            (
                "WEBHOOK_KEY_ROTATED",
                "Older webhook keys retired",
                {"before": audited_state("A", newest=3), "after": audited_state("A", newest=3, oldest=3)},
            )
        ]

    def test_retirement_without_an_older_key_is_refused(self, store, stored):
        client = store.add("A", [])
        before = stored()

        with pytest.raises(ConflictError, match="'A' has no older key to retire"):
            store.retire_keys(client.id)

        assert stored() == before

    def test_eight_concurrent_rotations_add_eight_audited_versions(self, store, audited):
        client = store.add("A", [])

        with ThreadPoolExecutor(8) as threads:
            rotated = list(threads.map(store.rotate_key, [client.id] * 8))

        assert sorted(client.key_version for client in rotated) == list(range(2, 10))
        assert store.get(client.id).key_version == 9
        steps = [(changes["before"]["keyVersion"], changes["after"]["keyVersion"]) for *_, changes in audited()[1:]]
        assert sorted(steps) == [(version, version + 1) for version in range(1, 9)]

    def test_audit_entries_hold_no_key(self, services, store, query):
        client = store.add("A", [ONE])
        store.rotate_key(client.id)
        store.retire_keys(client.id)

        entries = str(query("SELECT audit_logs::text FROM audit_logs"))

        assert "cwk_" not in entries
        # The secret part of a key is its last 24 bytes, in 32 characters.
        assert not [version for version in (1, 2) if services.webhook_keys.mint(client.id, version)[-32:] in entries]


@pytest.mark.parametrize(
    "change",
    [
        lambda store, unknown: store.add_number(unknown, ONE),
        lambda store, unknown: store.remove_number(unknown, ONE),
        lambda store, unknown: store.disable(unknown),
        lambda store, unknown: store.enable(unknown),
        lambda store, unknown: store.set_greeting(unknown, text="Vanakkam"),
        lambda store, unknown: store.reset_greeting(unknown),
        lambda store, unknown: store.rotate_key(unknown),
        lambda store, unknown: store.retire_keys(unknown),
    ],
    ids=[
        "add_number",
        "remove_number",
        "disable",
        "enable",
        "set_greeting",
        "reset_greeting",
        "rotate_key",
        "retire_keys",
    ],
)
def test_every_change_refuses_an_unknown_client(store, stored, change):
    store.add("A", [TWO])
    before = stored()

    with pytest.raises(NotFoundError, match="There is no client with this id"):
        change(store, uuid4())

    assert stored() == before
