"""All pages: links have a target, and the commands, make targets, settings, metrics and events they name exist."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from pages import pages

from calyapp import errors, metrics
from calyapp.app import create_app
from calyapp.audit.events import SEVERITY
from calyapp.config import Settings
from calyapp.web.refusals import REFUSALS

ROOT = Path(__file__).parents[2]
PAGES = pages()
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^ *```\w*\n.*?^ *```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINKS = [
    (page, target)
    for page, text in TEXTS.items()
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text))
    if "://" not in target
]
PARTS = ("calyapp/", "tests/", "deploy/", "alembic/", "bench/", "docs/")
# Environment variables that a program other than the service reads.
OTHER_VARIABLES = {"BIND", "HOST", "PORT", "POSTGRES_BIN", "SSL_CERT_FILE", "NO_COLOR", "FLASK_APP", "SPOOL_DAMAGED"}


def anchors(text: str) -> set[str]:
    """Returns the anchors of a page: those that GitHub generates from headings, and explicit ones."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)"></a>', text))


def code(text: str) -> str:
    """Returns all code of a page."""
    return "\n".join(match.strip("`") for match in CODE.findall(text))


class TestLinks:
    @pytest.mark.parametrize(("page", "target"), LINKS)
    def test_lead_to_a_file_and_a_heading_of_it(self, page, target):
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page

        assert file.exists()
        assert not anchor or anchor in anchors(file.read_text())

    def test_lead_from_the_readme_to_every_page_of_the_documentation(self):
        linked = {(ROOT / page).parent / target.partition("#")[0] for page, target in LINKS if page == "README.md"}
        pages = {ROOT / page for page in PAGES if page.startswith("docs/") and "/adr/" not in page}

        linked |= {ROOT / "docs" / "style.md"}  # for those who write: linked from CONTRIBUTING.md
        assert {path.resolve() for path in pages} - {path.resolve() for path in linked} == set()


class TestBlocks:
    @pytest.mark.parametrize(
        "block", [block for text in TEXTS.values() for language, block in BLOCK.findall(text) if language == "json"]
    )
    def test_of_json_parse(self, block):
        json.loads(block)

    @pytest.mark.parametrize(
        "block", [block for text in TEXTS.values() for language, block in BLOCK.findall(text) if language == "sh"]
    )
    def test_of_a_shell_parse(self, block):
        subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def caly() -> click.Group:
    """The group of commands that an operator uses."""
    app = create_app(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}))
    app.extensions["caly"].close()
    return app.cli.commands["caly"]


def commands(group: click.Group, *path: str) -> dict[tuple[str, ...], click.Command]:
    """All commands that are not groups, by their path."""
    leaves: dict[tuple[str, ...], click.Command] = {}
    for name, command in group.commands.items():
        leaves |= commands(command, *path, name) if isinstance(command, click.Group) else {(*path, name): command}
    return leaves


def written_commands() -> list[tuple[str, str]]:
    """Yields pages with the commands in their code, each from the word after `caly` to its end."""
    pattern = re.compile(r"(?:flask caly|(?:^|[`\n|;]) *caly) ([a-z][^\n`#|;>)]*)")
    written = [
        (page, command.strip())
        for page, text in TEXTS.items()
        if page != "deploy/INSTALL.md"  # has its own test
        for command in pattern.findall("`" + re.sub(r"\\\n", " ", code(text)))
    ]
    return [(page, command) for page, command in dict.fromkeys(written) if not command.startswith("alembic")]


class TestCommands:
    @pytest.mark.parametrize(("page", "written"), written_commands())
    def test_that_a_page_names_exist_with_their_options(self, caly, page, written):
        command: click.Command = caly
        words = shlex.split(written.replace("'", " "))
        while isinstance(command, click.Group) and words:
            if words[0] in ("…", "--help"):
                return
            command = command.commands[words.pop(0).rstrip(",.")]

        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options

    def test_are_all_on_the_page_of_commands(self, caly):
        rows = {
            tuple(word for word in command.split() if re.fullmatch(r"[a-z][a-z-]+", word)): command + row
            for command, row in re.findall(r"^\| `flask caly ([^`]+)`(.*)", TEXTS["docs/commands.md"], re.MULTILINE)
        }

        assert sorted(rows) == sorted(commands(caly))
        for path, command in commands(caly).items():
            options = {option for parameter in command.params for option in parameter.opts}
            assert set(re.findall(r"--[a-z-]+", rows[path])) <= options


def modules() -> list[tuple[str, str]]:
    """Yields pages with the modules and files in their code, such as `calyapp/web/api` or `exotel/payload`."""
    folders = [path.name for path in (ROOT / "calyapp").iterdir() if path.is_dir() and path.name != "__pycache__"]
    pattern = rf"`((?:calyapp|tests|deploy|alembic|bench|docs|{'|'.join(folders)})/[\w./-]+)`"
    named = [(page, name) for page, text in TEXTS.items() for name in re.findall(pattern, text)]
    return [(page, name if name.startswith(PARTS) else f"calyapp/{name}") for page, name in dict.fromkeys(named)]


class TestModules:
    @pytest.mark.parametrize(("page", "name"), [one for one in modules() if one[0] != "CHANGELOG.md"])
    def test_that_a_page_names_exist(self, page, name):
        assert (ROOT / name).exists() or (ROOT / f"{name}.py").exists()


class TestTargets:
    def test_of_make_that_a_page_names_exist(self):
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        named = {target for text in TEXTS.values() for target in re.findall(r"\bmake ([a-z-]+)", code(text))}

        assert named - targets == set()


class TestNames:
    def test_of_settings_are_those_of_the_code(self):
        declared = {setting.variable for setting in Settings.declared().values()}
        prefixes = (
            "DB_",
            "RATELIMIT_",
            "SPOOL_",
            "SCAN_",
            "STREAM_",
            "WEBHOOK_AUTH",
            "WEBHOOK_ROOT",
            "SAY_",
            "PUBLIC_",
        )
        named = {
            name
            for text in TEXTS.values()
            for name in re.findall(r"\b[A-Z]+_[A-Z_]+[A-Z]\b", code(text))
            if name.startswith(prefixes) or name.endswith("_KEY")
        }

        assert named - declared - OTHER_VARIABLES - set(SEVERITY) == set()

    def test_of_metrics_are_those_of_the_catalogue(self):
        catalogue = {name for name, *_ in metrics.catalogue()}
        named = {
            name for text in TEXTS.values() for name in re.findall(r"\bcaly_[a-z_]+(?:_total|_seconds|_open)\b", text)
        }

        assert named <= catalogue

    def test_of_audit_events_are_those_of_the_catalogue_with_their_severities(self):
        rows = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z]+) \|", TEXTS["docs/audit-events.md"], re.MULTILINE)

        assert dict(rows) == {str(event): str(severity) for event, severity in SEVERITY.items()}

    def test_of_errors_are_those_of_the_code(self):
        raised = set(re.findall(r", (\d{3}), \"([A-Z_]+)\"", Path(errors.__file__).read_text()))
        documented = set(re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", TEXTS["docs/api.md"], re.MULTILINE))

        assert documented == raised | {("413", REFUSALS[413].code)}

    def test_of_routes_are_all_on_the_pages_of_reference(self):
        table = (ROOT / "tests" / "contracts" / "routes.txt").read_text()
        routes = {re.sub(r"<(?:\w+:)?\w+>", "<", path) for path in re.findall(r" (/\S+?)/? ", table)}
        named = re.sub(
            r"<[^>]*>", "<", "".join(TEXTS[f"docs/{page}.md"] for page in ("api", "health", "connect-exotel"))
        )

        assert [route for route in sorted(routes) if route not in named] == []
