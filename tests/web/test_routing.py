from calyapp.web.routing import Access, GuardedRule, Profile


def test_a_rule_keeps_what_it_was_given():
    rule = GuardedRule("/x", endpoint="x", access=Access.PUBLIC, limit=Profile.API)

    assert (rule.rule, rule.access, rule.limit) == ("/x", Access.PUBLIC, Profile.API)


def test_a_rule_says_nothing_of_itself():
    rule = GuardedRule("/x", endpoint="x")

    assert (rule.access, rule.limit) == (None, None)
