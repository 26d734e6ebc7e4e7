"""The commands that the targets of the Makefile run."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

ROOT = Path(__file__).parents[2]


def recipe(target: str, *arguments: str) -> str:
    """Returns the commands of a target, without those that install."""
    installed = ("--assume-old=.venv/dev", "--assume-old=.venv/run")
    command = ["make", "--no-print-directory", "--dry-run", *installed, target, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


class TestDatabase:
    @pytest.mark.parametrize(
        ("target", "database"),
        [("migrate", "caly"), ("migration", "caly"), ("backup", "caly"), ("psql", "caly"), ("restore", "restored")],
    )
    def test_is_that_of_the_running_make_run(self, target, database):
        commands = recipe(target, "m=text", "FILE=file")

        assert f"python -m calyapp.embedded.server --database '{database}' --join var/postgres" in commands

    @pytest.mark.parametrize("target", ["run", "migrate", "restore"])
    def test_is_the_given_one(self, target):
        assert "--database 'other'" in recipe(target, "FILE=file", "DATABASE=other")


class TestRun:
    def test_checks_the_address_before_it_starts_anything(self):
        address, server = recipe("run").splitlines()

        assert address == "python -m calyapp.listen_address"
        assert server.endswith("sh deploy/development.sh")


class TestCheck:
    def test_prints_nothing_that_needs_no_action(self):
        (bandit,) = (line for line in recipe("check").splitlines() if line.startswith("bandit"))
        command = [Path(sys.executable).with_name("bandit"), *bandit.split()[1:]]

        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

        assert done.stdout + done.stderr == ""


def test_psql_opens_the_database_of_the_url(database_url):
    command = ["sh", "deploy/psql.sh", "--no-psqlrc", "-Atc", "SELECT current_database()"]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "DATABASE_URL": database_url,
    }

    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    assert printed.strip() == make_url(database_url).database
