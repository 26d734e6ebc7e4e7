"""deploy/INSTALL.md, which operators paste: everything it names exists, and its settings start the service."""

import os
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
PLACEHOLDERS = re.search(r"cat > /root/caly-install\.env <<'EOF'\n(.*?)^EOF", GUIDE, re.MULTILINE | re.DOTALL)[1]
READS_PLACEHOLDERS = re.compile(r"(?:\{\n)?\. /root/caly-install\.env\n")
# Up to the end of the command: a pipe in a block, a backquote in the text.
COMMANDS = sorted(set(re.findall(r"(?:^|[`(]|RELEASE |\| )caly ([a-z][^|`\n]*)", GUIDE, re.MULTILINE)))


@pytest.fixture(scope="module")
def caly() -> click.Group:
    """The group of commands that an operator uses."""
    app = create_app(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}))
    app.extensions["caly"].close()
    return app.cli.commands["caly"]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_can_be_pasted(block):
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def assigned(text: str) -> set[str]:
    """Returns the variables that this shell script sets."""
    return set(re.findall(r"^(?:for )?([A-Za-z_]+)(?:=| in )", text, re.MULTILINE))


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_can_be_pasted_into_a_new_shell(block):
    known = assigned(block) | (assigned(PLACEHOLDERS) if READS_PLACEHOLDERS.match(block) else set())

    # The shell does not expand quoted heredocs or programs of jq and awk.
    of_the_shell = re.sub(r"<<'EOF'.*?^EOF|'[^']*'", "", block, flags=re.MULTILINE | re.DOTALL)

    assert set(re.findall(r"\$\{?([A-Za-z_]+)", of_the_shell)) <= known


@pytest.mark.parametrize("block", BLOCKS)
def test_no_command_reads_the_rest_of_its_block_as_input(block):
    *before_last, _ = block.splitlines()

    assert block.startswith("{\n") or not any(
        re.search(r"(?:^|[|(] ?|RELEASE )caly [a-z]", line) for line in before_last
    )


@pytest.mark.parametrize("purpose", ["RELEASE", "PREVIOUS"])
def test_no_block_switches_to_a_release_that_is_not_installed(tmp_path, purpose):
    # /opt/caly would be a dangling link, and the restart would end the service.
    (block,) = [block for block in BLOCKS if f'ln -sfn "${purpose}" /opt/caly\n' in block]
    for folder in ("root", "opt/caly-releases/0.1.0", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "root/caly-install.env").write_text(f"RELEASE={tmp_path}/opt/caly-releases/0.2.0\n")
    (tmp_path / "opt/caly").symlink_to(tmp_path / "opt/caly-releases/0.1.0")
    for program in ("systemctl", "curl"):
        (tmp_path / "bin" / program).write_text(f"#!/bin/sh\ntouch {tmp_path}/was-called\n")
        (tmp_path / "bin" / program).chmod(0o755)
    here = re.sub(r"/(?=(?:root|opt|etc|usr)/)", f"{tmp_path}/", block)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"

    done = subprocess.run(["bash"], input=here, env={"PATH": path}, capture_output=True, text=True, check=False)

    assert done.stdout.endswith("nothing was changed\n")
    assert not (tmp_path / "was-called").exists()
    assert (tmp_path / "opt/caly").readlink().name == "0.1.0"


def test_placeholders_are_set_in_one_place():
    values = [value for value in re.findall(r"^[A-Z_]+=(\S+)", PLACEHOLDERS, re.MULTILINE) if ".example" in value]
    blocks = [block for block in BLOCKS if PLACEHOLDERS not in block]

    assert len(values) == 4
    assert [block for block in blocks if re.search(r"\.example\b", block.replace("caly\\.example", ""))] == []


def test_removal_deletes_everything_that_the_guide_creates():
    (removal,) = [block for block in BLOCKS if "rm -rf /opt/caly " in block]
    places = set(re.findall(r"^\| `(/[\w./-]+)", GUIDE, re.MULTILINE)) - {"/run/caly/caly.sock"}

    assert len(places) == 8
    removed = [Path(word) for word in removal.split() if word.startswith("/") and word != "/"]
    kept = [place for place in places if not any(Path(place).is_relative_to(path) for path in removed)]
    assert kept == ["/var/backups/caly"]
    assert "`rm -r /var/backups/caly`" in GUIDE
    assert "for role in caly caly_reader" in removal


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("alembic")])
def test_every_command_exists(caly, command):
    found, options = caly, []
    for word in shlex.split(command):
        if isinstance(found, click.Group) and word in found.commands:
            found = found.commands[word]
        elif word.startswith("--"):
            options.append(word)

    assert not isinstance(found, click.Group), f"{command} is only the name of a group"
    assert set(options) <= {name for parameter in found.params for name in parameter.opts} | {"--help"}


def test_the_environment_file_starts_a_production_service():
    text = ENVIRONMENT_FILE[1].replace("$MEDIA_SERVER", "wss://media.caly.example").replace("$DOMAIN", "caly.example")
    for number in range(text.count("$(key)")):
        text = text.replace("$(key)", f"{number:064x}", 1)

    environ = dict(line.split("=", 1) for line in text.splitlines())

    assert Settings.from_env(environ).ratelimit_storage_uri.reveal().startswith("redis://")


def test_every_named_setting_exists():
    declared = {setting.variable for setting in Settings.declared().values()}

    in_file = set(re.findall(r"^([A-Z_]+)=", ENVIRONMENT_FILE[1], re.MULTILINE))
    in_text = set(re.findall(r"`([A-Z]+_[A-Z_]+)\b", GUIDE)) - {"CALY_RELEASE"}

    assert in_file | in_text <= declared


def test_every_named_file_of_a_release_exists():
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


def test_every_named_unit_exists():
    named = set(re.findall(r"\b(caly[\w-]*\.(?:service|socket|timer))\b(?!\.d)", GUIDE))

    assert named <= UNITS


def test_its_journal_rate_limit_equals_that_of_the_unit():
    assert "LogRateLimitIntervalSec=0" in GUIDE
    assert "LogRateLimitIntervalSec=0\n" in (DEPLOY / "systemd" / "caly.service").read_text()
