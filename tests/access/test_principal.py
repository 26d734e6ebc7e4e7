from uuid import uuid4

import pytest

from calyapp.access.principal import Principal, PrincipalKind, Role, check_scope
from calyapp.errors import ValidationError

OURS, THEIRS = uuid4(), uuid4()


def principal(role=Role.CLIENT, client_id=None, kind=PrincipalKind.USER):
    return Principal(kind=kind, id=uuid4(), name="x", role=role, client_id=client_id)


class TestPrincipal:
    @pytest.mark.parametrize(
        ("own", "seen"), [(None, {OURS, THEIRS, None}), (OURS, {OURS})], ids=["of all clients", "of one"]
    )
    def test_sees_only_its_own_clients(self, own, seen):
        assert {client for client in (OURS, THEIRS, None) if principal(client_id=own).sees(client)} == seen

    def test_has_a_user_id_for_the_audit_log_only_if_it_is_a_user(self):
        user, key = principal(), principal(kind=PrincipalKind.API_KEY)

        assert (user.user_id, key.user_id) == (user.id, None)

    def test_is_shown_without_its_name(self):
        key = principal(Role.ADMIN, kind=PrincipalKind.API_KEY)

        assert key.shown == {"kind": "api key", "id": str(key.id), "role": "admin"}


class TestScope:
    @pytest.mark.parametrize(
        ("role", "client_id"),
        [(Role.ADMIN, None), (Role.AUDITOR, None), (Role.AUDITOR, OURS), (Role.CLIENT, OURS)],
    )
    def test_accepts_a_role_with_an_allowed_scope(self, role, client_id):
        check_scope(role, client_id)

    @pytest.mark.parametrize(("role", "client_id"), [(Role.ADMIN, OURS), (Role.CLIENT, None)])
    def test_refuses_a_role_with_another_scope(self, role, client_id):
        with pytest.raises(ValidationError, match=f"The role {role}"):
            check_scope(role, client_id)
