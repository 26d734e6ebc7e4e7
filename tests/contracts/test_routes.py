"""What the service offers to the outside, kept in `routes.txt` so that nothing is added, opened or lost unseen."""

from difflib import unified_diff
from pathlib import Path

from calyapp.app import create_app
from calyapp.config import Settings
from calyapp.web.routing import ANY_ROLE

CONTRACT = Path(__file__).with_name("routes.txt")
NOWHERE = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}


def offered() -> list[str]:
    """A line for each rule: methods (HEAD and OPTIONS are implied), path, endpoint, access policy and roles."""
    app = create_app(Settings.from_env(NOWHERE))
    app.extensions["caly"].close()
    return sorted(line(rule) for rule in app.url_map.iter_rules())


def line(rule) -> str:
    methods = ",".join(sorted(rule.methods - {"HEAD", "OPTIONS"}))
    roles = "" if rule.roles == ANY_ROLE else f": {', '.join(sorted(rule.roles))}"
    return f"{methods:<9} {rule.rule:<32} {rule.endpoint:<22} {rule.access}{roles}"


def test_the_routes_are_those_of_the_contract():
    promised, found = CONTRACT.read_text().splitlines(), offered()

    difference = "\n".join(unified_diff(promised, found, "tests/contracts/routes.txt", "the application", lineterm=""))
    assert not difference, (
        f"The routes are not those of the contract:\n{difference}\n\n"
        "If this is meant, write the lines with a plus into routes.txt and take those with a minus out."
    )
