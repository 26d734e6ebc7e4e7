"""Tests the rows of docs/degraded-modes.md about the host and Redis: the answers to Exotel, and what is recorded."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from reconciliation import Reconciliation
from rehearsal import STREAM_BASE_URL, Rehearsal, statuses
from running_server import eventually
from small_disk import small_disk
from traffic import Delivery, whole_call

DEGRADED = (200, "degraded")
PAGE = 4096
FRAMES_OF_A_PAGE = 12  # at most: every frame has at least a third of a kilobyte


@pytest.fixture
def rehearse(serve, tenant, postgres):
    """`rehearse(*gunicorn_options, **environment)` returns a rehearsal with its own server and PostgreSQL."""

    def start(*options: str, **environment: Any) -> Rehearsal:
        server = serve(*options, DATABASE_URL=postgres.url, **environment)
        return Rehearsal(server, tenant(server), postgres.query)

    return start


# ---- Redis ----


def test_redis_down(serve, tenant, query, redis_server):
    server = serve("--workers", "2", RATELIMIT_STORAGE_URI=redis_server.url)
    rehearsal = Rehearsal(server, tenant(server), query)

    redis_server.stop()
    answers = rehearsal.deliver()
    readiness = server.readiness()
    redis_server.start()
    answers += rehearsal.deliver()

    assert statuses(answers) == {200}
    assert readiness == (200, "healthy")
    assert logged(rehearsal, "limits storage fails: each worker counts for itself") == {"warn"}
    rehearsal.check_recovery()


def test_redis_slow(serve, tenant, query, redis_server):
    server = serve("--workers", "2", RATELIMIT_STORAGE_URI=redis_server.url)
    rehearsal = Rehearsal(server, tenant(server), query)

    redis_server.hang()
    answers = rehearsal.deliver()
    redis_server.wake()
    answers += rehearsal.deliver()

    assert statuses(answers) == {200}
    assert logged(rehearsal, "limits storage fails: each worker counts for itself") == {"warn"}
    rehearsal.check_recovery()


def test_client_over_its_limit(serve, tenant, query):
    server = serve(RATELIMIT_WEBHOOK="4/hour")  # an hour, so that a slow test stays within one window
    rehearsal = Rehearsal(server, tenant(server), query)

    answers = rehearsal.deliver(calls=10)
    over_the_limit = len(answers) - 6 * 4  # each of the six routes allows four

    assert statuses(answers) == {200}
    rehearsal.check_recovery(spooled=over_the_limit)
    assert rehearsal.count_entries("RATE_LIMIT_EXCEEDED") == 6


# ---- The disk ----


def test_disk_full(rehearse, postgres, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "16m") as inside:
        rehearsal = rehearse(inside=inside, SPOOL_DIR=str(disk / "spool"))
        postgres.stop()
        fill(rehearsal)

        refused = rehearsal.deliver()
        readiness = rehearsal.server.readiness()
        postgres.start()
        eventually(lambda: rehearsal.server.readiness() == (200, "healthy"))
        tried_again = rehearsal.send(attempt.delivery for attempt in refused)

        assert {(attempt.status, attempt.body["error"]["code"]) for attempt in refused} == {(500, "DATABASE_ERROR")}
        assert readiness == (503, "unhealthy")
        assert statuses(tried_again) == {200}
        rehearsal.check_recovery()
        rehearsal.server.stop()


def test_spool_folder_unwritable(rehearse, postgres, tmp_path):
    in_the_way = tmp_path / "in the way"
    in_the_way.touch()
    rehearsal = rehearse("--workers", "2", SPOOL_DIR=str(in_the_way / "spool"))

    without_spool = rehearsal.deliver()
    readiness_without_spool = rehearsal.server.readiness()
    postgres.stop()
    refused = rehearsal.deliver()
    eventually(lambda: rehearsal.server.readiness() == (503, "unhealthy"))
    in_the_way.unlink()
    in_the_way.mkdir()
    taken = rehearsal.send(attempt.delivery for attempt in refused)
    postgres.start()

    assert statuses(without_spool) == {200}
    assert readiness_without_spool == DEGRADED
    assert {(attempt.status, attempt.body["error"]["code"]) for attempt in refused} == {(500, "DATABASE_ERROR")}
    assert statuses(taken) == {200}
    rehearsal.check_recovery()


@pytest.mark.parametrize("damage", ["cut off", "garbage"])
def test_spool_damaged(rehearse, serve, postgres, damage):
    rehearsal = rehearse()
    spool = Path(rehearsal.server.environment["SPOOL_DIR"])
    postgres.stop()
    answers = rehearsal.deliver(calls=6)
    rehearsal.server.stop()
    file = (spool / "journal.db").resolve()
    if damage == "cut off":
        os.truncate(file, file.stat().st_size - 100)
    else:
        with file.open("r+b") as content:
            content.seek(file.stat().st_size // PAGE // 2 * PAGE)
            content.write(os.urandom(PAGE))

    rehearsal.move_to(serve(DATABASE_URL=postgres.url))
    postgres.start()
    rehearsal.await_drained()
    readable = {marker for (marker,) in postgres.query("SELECT payload ->> 'CustomField' FROM deliveries")}
    kept = [attempt for attempt in answers if attempt.delivery.marker in readable]

    assert statuses(answers) == {200}
    assert len(answers) - FRAMES_OF_A_PAGE <= len(kept)
    assert Reconciliation(postgres.query, kept, STREAM_BASE_URL).discrepancies().all == []
    eventually(lambda: rehearsal.replayed() == len(kept))
    assert [path.name.partition("-")[0] for path in spool.glob("damaged-*.db")] == ["damaged"]
    message = "The spool was damaged. Its file was set aside, and everything readable was copied into a new one."
    assert logged(rehearsal, message) == {"critical"}
    eventually(lambda: rehearsal.server.readiness() == DEGRADED)


# ---- Processes and clocks ----


def test_worker_killed(rehearse, postgres):
    rehearsal = rehearse("--workers", "2")
    postgres.stop()

    answers = rehearsal.deliver()
    killed = rehearsal.server.workers()
    for worker in killed:
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: len(set(rehearsal.server.workers()) - set(killed)) == 2)
    answers += rehearsal.deliver()
    postgres.start()

    assert statuses(answers) == {200}
    rehearsal.check_recovery(spooled=len(answers))


def test_clock_jump(rehearse, serve, postgres, tmp_path):
    rehearsal = rehearse()
    rehearsal.server.stop()
    postgres.stop()

    answers = []
    for year in (2035, 2019):
        rehearsal.move_to(serve(DATABASE_URL=postgres.url, PYTHONPATH=str(clock_at(tmp_path / str(year), year))))
        answers += rehearsal.deliver()
        rehearsal.server.stop()
    rehearsal.move_to(serve(DATABASE_URL=postgres.url))
    postgres.start()

    assert statuses(answers) == {200}
    rehearsal.check_recovery(spooled=len(answers))
    misdated = "NOT received_at BETWEEN now() - interval '1 hour' AND now()"
    assert postgres.query(f"SELECT count(*) FROM deliveries WHERE {misdated}") == [(0,)]


# ---- Support ----


def fill(rehearsal: Rehearsal) -> None:
    """Sends deliveries until the server refuses them, the large ones first."""
    for size in (700_000, 70_000, 7_000, 0):
        while statuses(rehearsal.send([large(rehearsal.tenant, size)], ["json"])) == {200}:
            pass


def large(tenant: dict, size: int) -> Delivery:
    start = next(whole_call(tenant, uuid4().hex, None))
    return replace(start, fields=start.fields | {"noise": os.urandom(size // 2).hex()})


def clock_at(folder: Path, year: int) -> Path:
    """Returns a folder that, on PYTHONPATH, starts the clock of a process at the first of June of `year`."""
    folder.mkdir()
    jump = f"import time_machine\ntime_machine.travel('{year}-06-01T12:00:00+00:00', tick=True).start()\n"
    (folder / "sitecustomize.py").write_text(jump)
    return folder


def logged(rehearsal: Rehearsal, message: str) -> set[str]:
    """Returns the levels at which this message is logged."""
    return {line["level"] for line in rehearsal.server.log_lines() if line["message"] == message}
