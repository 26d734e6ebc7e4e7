from calyapp.access.principal import Role
from calyapp.web.routing import ANY_ROLE, Access, GuardedRule, Profile


def test_a_rule_keeps_its_declaration():
    admins = frozenset({Role.ADMIN})
    rule = GuardedRule("/x", endpoint="x", access=Access.SIGNED_IN, roles=admins, limit=Profile.API)

    assert (rule.rule, rule.access, rule.roles, rule.limit) == ("/x", Access.SIGNED_IN, admins, Profile.API)


def test_a_rule_declares_no_access_by_default():
    rule = GuardedRule("/x", endpoint="x")

    assert (rule.access, rule.roles, rule.limit) == (None, ANY_ROLE, None)
