from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from calyapp.access.principal import Role
from calyapp.errors import ConflictError, NotFoundError, ValidationError

EMAIL = "asha@example.com"


@pytest.fixture
def store(services):
    return services.users


def shown(user, **differences):
    """What the audit log contains about a user."""
    known = {"email": user.email, "role": user.role.value, "clientId": None, "suspendedAt": None}
    return known | differences


class TestReading:
    def test_lists_all_users_by_address(self, store):
        second, first = store.add("b@example.com", "hash", Role.ADMIN), store.add("a@example.com", "hash", Role.AUDITOR)

        assert store.all() == [first, second]

    def test_returns_the_credentials_of_a_user(self, store, asha):
        credentials = store.credentials(EMAIL)

        assert (credentials.user, credentials.password_hash) == (asha, "hash")
        assert store.credentials("nobody@example.com") is None


class TestAdd:
    def test_is_audited_under_the_user_and_without_the_hash(self, store, tenant_id, audited):
        added = store.add("dev@example.com", "hash-of-a-password", Role.CLIENT, tenant_id)

        assert (added.role, added.client_id, added.suspended_at) == (Role.CLIENT, tenant_id, None)
        after = shown(added, clientId=str(tenant_id))
        assert audited(added) == [("USER_CREATED", "User added", {"after": after}, {"via": "command line"})]

    def test_accepts_an_address_once_if_eight_threads_add_it(self, store):
        def add(_):
            try:
                return store.add(EMAIL, "hash", Role.ADMIN)
            except ConflictError as error:
                return error

        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(add, range(8)))

        assert sum(isinstance(one, ConflictError) for one in outcomes) == 7
        assert len(store.all()) == 1

    def test_refuses_a_role_without_its_client_and_stores_nothing(self, store, stored):
        before = stored()

        with pytest.raises(ValidationError):
            store.add(EMAIL, "hash", Role.CLIENT)

        assert stored() == before


class TestSuspend:
    def test_ends_the_sessions_and_is_audited(self, services, store, asha, signed_in, audited):
        token = signed_in(asha)

        suspended = store.suspend(asha.id)

        assert services.sessions.find(token) is None
        type_, _, changes, _ = audited(asha)[-1]
        assert (type_, changes["before"]) == ("USER_SUSPENDED", shown(asha))
        assert changes["after"]["suspendedAt"] is not None
        assert suspended.suspended_at is not None

    def test_refuses_a_user_who_is_already_suspended(self, store, asha, stored):
        store.suspend(asha.id)
        before = stored()

        with pytest.raises(ConflictError, match="already suspended"):
            store.suspend(asha.id)

        assert stored() == before


class TestUnsuspend:
    def test_lets_the_user_sign_in_again_and_is_audited(self, store, asha, audited):
        store.suspend(asha.id)

        restored = store.unsuspend(asha.id)

        type_, _, changes, _ = audited(asha)[-1]
        assert (type_, changes["after"]) == ("USER_UNSUSPENDED", shown(asha))
        assert restored == asha

    def test_refuses_a_user_who_is_not_suspended(self, store, asha):
        with pytest.raises(ConflictError, match="is not suspended"):
            store.unsuspend(asha.id)


class TestFind:
    def test_returns_a_user_by_address(self, store, asha):
        assert store.find(f" {EMAIL.upper()} ") == asha

    def test_names_the_command_that_lists_the_users(self, store):
        with pytest.raises(NotFoundError, match="See `flask caly users list`"):
            store.find("nobody@caly.example")


class TestSetRole:
    def test_takes_effect_in_open_sessions(self, services, store, asha, signed_in, tenant_id):
        token = signed_in(asha)

        store.set_role(asha.id, Role.CLIENT, tenant_id)

        principal = services.sessions.find(token)
        assert (principal.role, principal.client_id) == (Role.CLIENT, tenant_id)

    @pytest.fixture
    def changes(self, query):
        """`changes()`: the audited changes of roles, by client id."""
        return lambda: dict(
            query("SELECT client_id::text, changes FROM audit_logs WHERE event_type = 'PERMISSION_CHANGED'")
        )

    def test_writes_one_complete_entry_for_readers_of_all_clients(self, store, asha, tenant_id, changes):
        store.set_role(asha.id, Role.CLIENT, tenant_id)

        after = shown(asha, role="client", clientId=str(tenant_id))
        assert changes() == {None: {"before": shown(asha), "after": after}, str(tenant_id): {"after": after}}

    def test_writes_an_entry_for_each_client_that_does_not_mention_the_other(self, services, store, tenant_id, changes):
        other = services.clients.add("Banyan Dental", []).id
        dev = store.add("dev@example.com", "hash", Role.CLIENT, tenant_id)

        store.set_role(dev.id, Role.AUDITOR, other)

        before, after = (str(client_id) for client_id in (tenant_id, other))
        assert changes() == {
            before: {"before": shown(dev, clientId=before)},
            after: {"after": shown(dev, role="auditor", clientId=after)},
        }

    def test_refuses_a_role_that_the_user_already_has(self, store, asha, stored):
        before = stored()

        with pytest.raises(ConflictError, match="already has this role"):
            store.set_role(asha.id, Role.ADMIN)

        assert stored() == before


class TestDelete:
    def test_deletes_user_and_sessions_and_keeps_the_audit_entries(self, services, store, asha, signed_in, audited):
        token = signed_in(asha)

        store.delete(asha.id)

        assert store.all() == []
        assert services.sessions.find(token) is None
        assert audited(asha)[-1][::2] == ("USER_DELETED", {"before": shown(asha)})

    def test_releases_the_address(self, store, asha):
        store.delete(asha.id)

        assert store.add(EMAIL, "hash", Role.ADMIN).id != asha.id


class TestSetPassword:
    def test_ends_all_other_sessions(self, services, store, asha, signed_in, audited):
        kept, *others = [signed_in(asha) for _ in range(3)]
        session_id = services.sessions.find(kept).session_id

        store.set_password(asha.id, "new hash", keep_session=session_id)

        assert store.credentials(EMAIL).password_hash == "new hash"
        assert services.sessions.find(kept) is not None
        assert [services.sessions.find(token) for token in others] == [None, None]
        assert audited(asha)[-1] == (
            *("PASSWORD_CHANGE", "Password changed", None),
            {"via": "command line", "sessionsRevoked": 2},
        )

    def test_ends_all_sessions_if_none_is_excepted(self, services, store, asha, signed_in):
        token = signed_in(asha)

        store.set_password(asha.id, "new hash")

        assert services.sessions.find(token) is None

    def test_does_nothing_if_the_password_has_changed_since_verification(self, store, asha, stored):
        assert store.set_password(asha.id, "first", verified="hash")
        before = stored()

        assert not store.set_password(asha.id, "second", verified="hash")

        assert stored() == before


class TestRenewHash:
    @pytest.mark.parametrize(("outdated", "kept"), [("hash", "renewed"), ("another", "hash")])
    def test_replaces_only_the_verified_hash(self, store, asha, outdated, kept):
        store.renew_hash(asha.id, outdated, "renewed")

        assert store.credentials(EMAIL).password_hash == kept


class TestRevokeSessions:
    def test_ends_the_sessions_of_this_user_and_returns_their_number(self, services, store, asha, signed_in, audited):
        other = store.add("b@example.com", "hash", Role.ADMIN)
        ended, open_ = [signed_in(asha) for _ in range(2)], signed_in(other)

        assert store.revoke_sessions(asha.id) == 2

        assert [services.sessions.find(token) for token in ended] == [None, None]
        assert services.sessions.find(open_) is not None
        type_, _, changes, _ = audited(asha)[-1]
        assert (type_, changes) == ("SESSION_REVOKED", None)


@pytest.mark.parametrize(
    "change",
    [
        lambda store, nobody: store.suspend(nobody),
        lambda store, nobody: store.set_role(nobody, Role.ADMIN),
        lambda store, nobody: store.delete(nobody),
        lambda store, nobody: store.set_password(nobody, "hash"),
        lambda store, nobody: store.revoke_sessions(nobody),
    ],
    ids=["suspend", "set_role", "delete", "set_password", "revoke_sessions"],
)
def test_every_change_refuses_an_unknown_user(store, asha, stored, change):
    before = stored()

    with pytest.raises(NotFoundError, match="No user has this id"):
        change(store, uuid4())

    assert stored() == before
