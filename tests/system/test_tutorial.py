"""Runs the commands of README.md and docs/tutorial.md in their order, and compares the answers."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from running_server import ROOT

BLOCK = re.compile(r"^```(sh|json|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="the pages use curl")


class Shell:
    """A shell that keeps its variables between blocks.

    It replaces what a reader replaces: the port, and a secret that the page shows as `cwk_…` or `cas_…`.
    """

    def __init__(self, server, folder: Path) -> None:
        self._environment = server.environment
        self._port = server.port
        self._variables = folder / "variables"
        self._variables.touch()
        self._printed = server.command("demo").stdout  # as `make run` prints it

    def run(self, block: str) -> str:
        block = block.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")
        for secret in re.findall(r"(c\w{2}_)…", block):
            block = block.replace(f"{secret}…", re.findall(rf"{secret}[\w-]+", self._printed)[-1])
        script = f"set -eu; . {self._variables}; set -a\n{block}\nexport -p > {self._variables}"
        command = ["bash", "-c", script]
        done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self._printed += done.stdout
        return done.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_blocks_run_in_their_order_and_answer_as_shown(page, serve, query, tmp_path):
    shell = Shell(serve(APP_ENV="development"), tmp_path)
    printed = ""

    for language, block in BLOCK.findall((ROOT / page).read_text()):
        if language == "json":
            assert shape(json.loads(block)) in [shape(answer) for answer in answers(printed)]
        elif language == "sql":
            assert all(query(statement) for statement in block.split(";\n") if statement.strip())
        elif not block.startswith("make "):
            printed = shell.run(block)


def answers(printed: str) -> list[object]:
    """Returns all JSON objects in the output."""
    decoder, objects, end = json.JSONDecoder(), [], 0
    while (start := printed.find('{"', end)) >= 0:
        value, end = decoder.raw_decode(printed, start)
        objects.append(value)
    return objects


def shape(value: object) -> object:
    """Returns the names and types in a JSON value, without the values."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else type(value).__name__
