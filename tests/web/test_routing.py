from calyapp.access.principal import Role
from calyapp.web.routing import ANY_ROLE, Access, GuardedRule, Profile


def test_a_rule_keeps_what_it_was_given():
    admins = frozenset({Role.ADMIN})
    rule = GuardedRule("/x", endpoint="x", access=Access.SIGNED_IN, roles=admins, limit=Profile.API)

    assert (rule.rule, rule.access, rule.roles, rule.limit) == ("/x", Access.SIGNED_IN, admins, Profile.API)


def test_a_rule_says_nothing_of_itself():
    rule = GuardedRule("/x", endpoint="x")

    assert (rule.access, rule.roles, rule.limit) == (None, ANY_ROLE, None)
