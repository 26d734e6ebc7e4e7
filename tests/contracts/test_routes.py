"""Compares the routes and their access with `routes.txt`, so that no change goes unnoticed."""

from difflib import unified_diff
from pathlib import Path

from calyapp.app import create_app
from calyapp.config import Settings
from calyapp.web.routing import ANY_ROLE

CONTRACT = Path(__file__).with_name("routes.txt")
NOWHERE = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}


def registered_routes() -> list[str]:
    """Returns a line for each rule: methods (without HEAD and OPTIONS), path, endpoint, access and roles."""
    app = create_app(Settings.from_env(NOWHERE))
    app.extensions["caly"].close()
    return sorted(description(rule) for rule in app.url_map.iter_rules())


def description(rule) -> str:
    methods = ",".join(sorted(rule.methods - {"HEAD", "OPTIONS"}))
    roles = "" if rule.roles == ANY_ROLE else f": {', '.join(sorted(rule.roles))}"
    return f"{methods:<9} {rule.rule:<32} {rule.endpoint:<22} {rule.access}{roles}"


def test_the_routes_equal_the_contract():
    expected, actual = CONTRACT.read_text().splitlines(), registered_routes()

    difference = "\n".join(unified_diff(expected, actual, "tests/contracts/routes.txt", "the application", lineterm=""))
    assert not difference, (
        f"The routes differ from the contract:\n{difference}\n\n"
        "If this is intended, add the lines with a plus to routes.txt and remove those with a minus."
    )
