"""deploy/INSTALL.md, which operators paste line by line: what it names is there, and its settings start the service."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from calyapp.app import create_app
from calyapp.config import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GUIDE = (DEPLOY / "INSTALL.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
UNITS = {path.name for path in (DEPLOY / "systemd").iterdir() if path.is_file()}
ENVIRONMENT_FILE = re.search(r"> /etc/caly/caly\.env\) <<EOF\n(.*?)^EOF", GUIDE, re.MULTILINE | re.DOTALL)
# Up to the end of the command: in a block a pipe, in the text a backquote.
COMMANDS = sorted(set(re.findall(r"(?:^|[`(]|RELEASE )caly ([a-z][^|`\n]*)", GUIDE, re.MULTILINE)))


@pytest.fixture(scope="module")
def caly() -> click.Group:
    """The commands as an operator has them."""
    app = create_app(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}))
    app.extensions["caly"].close()
    return app.cli.commands["caly"]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_can_be_pasted(block):
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("alembic")])
def test_every_command_is_one_of_ours(caly, command):
    found, options = caly, []
    for word in shlex.split(command):
        if isinstance(found, click.Group) and word in found.commands:
            found = found.commands[word]
        elif word.startswith("--"):
            options.append(word)

    assert not isinstance(found, click.Group), f"{command} is only the name of a group"
    assert set(options) <= {name for parameter in found.params for name in parameter.opts} | {"--help"}


def test_the_environment_file_starts_a_production_service():
    text = ENVIRONMENT_FILE[1].replace("$MEDIA_SERVER", "wss://media.caly.example")
    for number in range(text.count("$(key)")):
        text = text.replace("$(key)", f"{number:064x}", 1)

    environ = dict(line.split("=", 1) for line in text.splitlines())

    assert Settings.from_env(environ).ratelimit_storage_uri.reveal().startswith("redis://")


def test_every_setting_that_it_names_is_one():
    declared = {setting.variable for setting in Settings.declared().values()}

    in_file = set(re.findall(r"^([A-Z_]+)=", ENVIRONMENT_FILE[1], re.MULTILINE))
    in_text = set(re.findall(r"`([A-Z]+_[A-Z_]+)\b", GUIDE)) - {"CALY_RELEASE"}

    assert in_file | in_text <= declared


def test_every_file_of_a_release_that_it_names_is_there():
    named = set(re.findall(r"(?:/opt/caly|\$RELEASE)/([\w./-]+)", GUIDE))
    linked = set(re.findall(r"\]\(([^)#:]+)", GUIDE))

    files = [ROOT / name for name in named if not name.startswith(".venv")] + [DEPLOY / name for name in linked]

    assert files
    assert [str(file) for file in files if not file.exists()] == []


def test_it_starts_and_removes_every_unit():
    enabled = set(re.search(r"systemctl enable --now (.*)", GUIDE)[1].split())
    disabled = set(re.search(r"systemctl disable --now (.*)", GUIDE)[1].split())

    with_install = {name for name in UNITS if "[Install]" in (DEPLOY / "systemd" / name).read_text()}

    assert enabled == disabled == with_install


def test_it_names_no_unit_that_is_not_there():
    named = set(re.findall(r"\b(caly[\w-]*\.(?:service|socket|timer))\b(?!\.d)", GUIDE))

    assert named <= UNITS


def test_its_rate_limit_of_the_journal_is_that_of_the_unit():
    assert "LogRateLimitIntervalSec=0" in GUIDE
    assert "LogRateLimitIntervalSec=0\n" in (DEPLOY / "systemd" / "caly.service").read_text()
