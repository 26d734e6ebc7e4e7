"""Tests `flask caly scan` as a timer or CI runs it, with pip-audit and a service that has the API of OSV."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from advisory_service import CRITICAL, HIGH, MEDIUM, advisory, requirements, scored
from running_server import ROOT

SKIPPED = "tongs @ https://user:canary@host.example/tongs-1.0-py3-none-any.whl"


@pytest.fixture
def command(advisories, database_url, tmp_path):
    """`command(*requirements, options=…, stdout=…, **environment)` runs the command. Returns the ended process."""

    def run(
        *lines: str, options: tuple[str, ...] = ("--json",), stdout: IO | int = subprocess.PIPE, **environment: str
    ) -> subprocess.CompletedProcess:
        file = requirements(tmp_path, *(lines or ("anvil==1.0", "hammer==2.0")))
        known = {
            "APP_ENV": "testing",
            "FLASK_APP": "wsgi",
            "DATABASE_URL": database_url,
            "SCAN_DIR": str(tmp_path / "scan"),
        }
        arguments = ["scan", "--requirements", str(file), "--osv-url", advisories.url, *options]
        return subprocess.run(
            [sys.executable, "-m", "flask", "caly", *arguments],
            cwd=ROOT,
            env={**os.environ, **known, **environment},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    return run


def test_passes_when_everything_is_checked_and_no_finding_is_urgent(advisories, command, query, tmp_path):
    advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", fixed=("1.2",), **scored(MEDIUM)))
    advisories.versions = {"anvil": ["1.0", "1.2"], "hammer": ["2.0"]}

    done = command()

    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr, told["status"]) == (0, "", "PASSED")
    assert told["summary"]["packages"] == 2
    assert told["findings"][0]["remedy"] == "upgrade anvil from 1.0 to 1.2"
    assert told["outdated"] == [{"name": "anvil", "version": "1.0", "latest": "1.2"}]
    assert json.loads((tmp_path / "scan" / "latest.json").read_text()) == told
    ((severity, status, metadata),) = query(
        "SELECT severity, status, metadata FROM audit_logs WHERE event_type = 'VULNERABILITY_SCAN_COMPLETED'"
    )
    assert (severity, status, metadata["status"]) == ("MEDIUM", "success", "PASSED")
    assert metadata["findings"] == {"critical": 0, "high": 0, "unknown": 0, "medium": 1, "low": 0}


def test_keeps_the_report_when_it_cannot_be_printed(command, tmp_path):
    with Path("/dev/full").open("w") as full:
        done = command("anvil==1.0", stdout=full)

    assert done.returncode != 0
    assert json.loads((tmp_path / "scan" / "latest.json").read_text())["status"] == "PASSED"


@pytest.mark.parametrize("more", [scored(HIGH), {}], ids=["high", "unknown"])
def test_warns_of_a_finding_of_high_or_unknown_severity(advisories, command, more):
    advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", **more))

    done = command()

    told = json.loads(done.stdout)
    assert (done.returncode, told["status"]) == (1, "WARNING")
    assert told["findings"][0]["remedy"] == "no fixed version yet: see GHSA-1 for what helps until then"


@pytest.mark.parametrize("lines", [("anvil==1.0",), ("anvil==1.0", SKIPPED)], ids=["complete", "incomplete"])
def test_fails_on_a_critical_finding_even_if_incomplete(advisories, command, lines):
    advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", **scored(CRITICAL)))

    done = command(*lines)

    told = json.loads(done.stdout)
    assert (done.returncode, told["status"]) == (1, "FAILED")
    assert told["summary"]["complete"] is (len(lines) == 1)


def test_is_incomplete_when_a_requirement_is_skipped(advisories, command):
    advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", **scored(HIGH)))

    done = command("anvil==1.0", SKIPPED)

    told = json.loads(done.stdout)
    assert (done.returncode, told["status"]) == (1, "INCOMPLETE")
    assert [skipped["name"] for skipped in told["skipped"]] == ["tongs"]
    assert [found["id"] for found in told["findings"]] == ["GHSA-1"]


@pytest.mark.parametrize("said", [(503, ""), (200, "<h1>Please sign in</h1>"), (200, "{}")])
def test_is_incomplete_when_the_service_gives_an_invalid_answer(advisories, command, query, said):
    advisories.says["/v1/query"] = said

    done = command()

    told = json.loads(done.stdout)
    assert (done.returncode, told["status"], told["findings"]) == (1, "INCOMPLETE", [])
    assert told["summary"]["problems"][0].startswith(f"The advisory service at {advisories.url} ")
    assert query("SELECT status, metadata->>'status' FROM audit_logs") == [("failure", "INCOMPLETE")]


def test_is_incomplete_when_the_service_is_unreachable(command):
    done = command(options=("--json", "--osv-url", "http://127.0.0.1:1"))

    told = json.loads(done.stdout)
    assert (done.returncode, told["status"]) == (1, "INCOMPLETE")
    assert "could not be reached: Connection refused" in told["summary"]["problems"][0]


def test_reveals_no_password(advisories, command, tmp_path):
    advisories.versions = {"anvil": ["1.2"]}
    index = advisories.url.replace("//", "//user:canary@")

    done = command("anvil==1.0", SKIPPED, SKIPPED.partition(" @ ")[2], options=(), PIP_INDEX_URL=f"{index}/simple/")

    kept = [file.read_text() for file in (tmp_path / "scan").iterdir()]
    assert "Not checked:" in done.stdout
    assert "Outdated:" in done.stdout
    assert "canary" not in "".join([done.stdout, done.stderr, *kept])


@pytest.mark.parametrize("options", [("--requirements", "nowhere"), ("--osv-url", "ftp://host"), ("--nonsense",)])
def test_exits_with_2_on_invalid_options(command, options):
    assert command(options=options).returncode == 2
