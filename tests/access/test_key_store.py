from datetime import timedelta
from uuid import uuid4

import pytest

from calyapp import clock
from calyapp.access import tokens
from calyapp.access.key_store import USE_RECORDED_EVERY
from calyapp.access.principal import PrincipalKind, Role
from calyapp.errors import ConflictError, NotFoundError, ValidationError


@pytest.fixture
def store(services):
    return services.api_keys


class TestCreate:
    def test_returns_a_key_that_is_not_stored(self, store, stored):
        _, token = store.create("Report", Role.ADMIN)

        assert token not in str(stored())

    def test_stores_the_first_characters_of_the_key(self, store):
        key, token = store.create("Report", Role.ADMIN)

        assert store.all() == [key]
        assert (key.name, key.prefix, key.role) == ("Report", tokens.shown(token), Role.ADMIN)

    def test_is_audited(self, store, tenant_id, query):
        key, token = store.create("Report", Role.CLIENT, tenant_id)

        ((changes,),) = query(
            "SELECT changes FROM audit_logs WHERE event_type = 'API_KEY_GENERATED' AND severity = 'HIGH' "
            "AND client_id = %s AND resource = 'api key' AND resource_id = %s",
            str(tenant_id),
            str(key.id),
        )
        assert changes["after"] | {"prefix": token[:12]} == changes["after"]

    def test_refuses_a_role_without_its_client(self, store, stored):
        before = stored()

        with pytest.raises(ValidationError):
            store.create("Report", Role.CLIENT)

        assert stored() == before


class TestFind:
    def test_returns_the_principal_of_the_key(self, store, tenant_id):
        key, token = store.create("Report", Role.AUDITOR, tenant_id)

        principal = store.find(token)

        assert (principal.kind, principal.id, principal.name) == (PrincipalKind.API_KEY, key.id, "Report")
        assert (principal.role, principal.client_id, principal.session_id) == (Role.AUDITOR, tenant_id, None)

    @pytest.mark.parametrize(("days", "is_known"), [(1, True), (0, False), (-1, False)])
    def test_returns_a_key_until_it_expires(self, store, days, is_known):
        _, token = store.create("Report", Role.ADMIN, expires_at=clock.now() + timedelta(days=days))

        assert (store.find(token) is not None) == is_known

    def test_does_not_return_a_key_that_was_never_created(self, store):
        store.create("Report", Role.ADMIN)

        assert store.find(tokens.mint(tokens.TokenKind.API_KEY)) is None

    def test_records_the_use_at_most_once_a_minute(self, store, query):
        _, token = store.create("Report", Role.ADMIN)
        uses = []
        for wait in (USE_RECORDED_EVERY, USE_RECORDED_EVERY * 0, USE_RECORDED_EVERY):
            query("UPDATE api_keys SET last_used_at = last_used_at - %s", wait)
            before = store.all()[0].last_used_at
            store.find(token)
            uses.append(store.all()[0].last_used_at != before)

        assert uses == [True, False, True]


class TestRevoke:
    def test_takes_effect_immediately_and_is_audited(self, store, query):
        key, token = store.create("Report", Role.ADMIN)

        revoked = store.revoke(key.id)

        assert store.find(token) is None
        assert revoked.revoked_at is not None
        ((changes,),) = query("SELECT changes FROM audit_logs WHERE event_type = 'API_KEY_REVOKED'")
        assert [changes[when]["revokedAt"] is None for when in ("before", "after")] == [True, False]

    def test_refuses_a_key_that_is_already_revoked(self, store, stored):
        key, _ = store.create("Report", Role.ADMIN)
        store.revoke(key.id)
        before = stored()

        with pytest.raises(ConflictError, match="already revoked"):
            store.revoke(key.id)

        assert stored() == before

    def test_refuses_an_unknown_key(self, store):
        with pytest.raises(NotFoundError, match="No API key has this id"):
            store.revoke(uuid4())
