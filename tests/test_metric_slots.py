"""Worker slots, in one process if that is sufficient, and otherwise with real forks and killed processes."""

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from calyapp.metric_slots import SlotDirectory

ROOT = Path(__file__).parents[1]

PRELUDE = """
import os, signal
from prometheus_client import Counter, Gauge
from pathlib import Path
from calyapp import metric_slots

def join():
    slots = metric_slots.share_files()
    served = Counter("served_total", "", registry=None)
    busy = Gauge("busy", "", registry=None, multiprocess_mode="livesum")
    return slots, served, busy

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def leave():
    os._exit(0)

def fork(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            leave()
    return pid
"""


def run(script: str, directory: Path) -> str:
    """Runs a script that forks in a new process and returns its output."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        cwd=ROOT,
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def merged(directory: Path) -> dict[str, float]:
    samples = [sample for metric in SlotDirectory(directory).merged() for sample in metric.samples]
    return {sample.name: sample.value for sample in samples}


def files(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


class TestSlot:
    def test_is_the_lowest_free_slot(self, tmp_path: Path) -> None:
        first, second, third = (SlotDirectory(tmp_path) for _ in range(3))
        assert [first.slot().number, second.slot().number] == [0, 1]

        first.forget()

        assert third.slot().number == 0

    def test_is_one_for_all_threads_of_a_process(self, tmp_path: Path) -> None:
        directory = SlotDirectory(tmp_path)

        with ThreadPoolExecutor(8) as threads:
            slots = {threads.submit(directory.slot) for _ in range(32)}

        assert {slot.result() for slot in slots} == {directory.slot()}
        assert directory.holders() == {0: os.getpid()}

    def test_is_not_claimed_while_another_process_checks_the_locks(self, tmp_path: Path) -> None:
        directory = SlotDirectory(tmp_path)

        with ThreadPoolExecutor(1) as threads, (tmp_path / "slots.lock").open("w") as reading:
            fcntl.flock(reading, fcntl.LOCK_EX)
            claim = threads.submit(directory.slot)
            with pytest.raises(TimeoutError):
                claim.result(timeout=0.05)
            fcntl.flock(reading, fcntl.LOCK_UN)

        assert claim.result().number == 0

    def test_begins_with_the_counts_but_not_the_gauges_of_its_last_holder(self, tmp_path: Path) -> None:
        names = {
            "counter_1.db",
            "histogram_1.db",
            "gauge_livesum_1.db",
            "gauge_max_1.db",
            "gauge_livesum_11.db",
        }
        for name in names:
            (tmp_path / name).touch()
        SlotDirectory(tmp_path).slot()

        SlotDirectory(tmp_path).slot()

        assert names & files(tmp_path) == {"counter_1.db", "histogram_1.db", "gauge_livesum_11.db"}

    def test_is_never_shared_by_processes_that_start_together(self, tmp_path: Path) -> None:
        printed = run(
            """
def worker():
    os.close(go)
    os.close(over)
    os.read(ready, 1)
    slots, served, _ = join()
    for _ in range(100):
        served.inc()
    os.write(report, f"{slots.slot()} ".encode())
    os.read(end, 1)

for _ in range(5):
    ready, go = os.pipe()
    end, over = os.pipe()
    reported, report = os.pipe()
    children = [fork(worker) for _ in range(8)]
    os.close(go)
    os.close(report)
    numbers = b""
    while numbers.count(b" ") < 8 and (number := os.read(reported, 100)):
        numbers += number
    os.close(over)
    for child in children:
        os.waitpid(child, 0)
    os.close(reported)
    print(*sorted(map(int, numbers.split())))
""",
            tmp_path,
        )

        assert printed.splitlines() == ["0 1 2 3 4 5 6 7"] * 5
        assert merged(tmp_path) == {"served_total": 5 * 8 * 100}


class TestRecycledWorkers:
    def test_lose_no_count_and_leave_no_file_when_they_exit_or_are_killed(self, tmp_path: Path) -> None:
        recycle = """
def worker(end):
    _, served, busy = join()
    for _ in range(50):
        served.inc()
    busy.set(7)
    end()

for number in range({}):
    os.waitpid(fork(lambda: worker(die if number % 2 else leave)), 0)
"""
        run(recycle.format(1), tmp_path)
        after_one = files(tmp_path)

        run(recycle.format(19), tmp_path)

        assert merged(tmp_path) == {"served_total": 20 * 50}
        assert files(tmp_path) == after_one


class TestForkedChild:
    def test_takes_its_own_slot_and_leaves_the_parent_its_slot(self, tmp_path: Path) -> None:
        printed = run(
            """
slots, served, _ = join()
served.inc()

def child():
    served.inc(10)
    print(slots.holders() == {0: os.getppid(), 1: os.getpid()}, flush=True)

os.waitpid(fork(child), 0)
served.inc(100)
print(slots.holders() == {0: os.getpid()})
""",
            tmp_path,
        )

        assert printed.split() == ["True", "True"]
        assert merged(tmp_path) == {"served_total": 111}

    def test_continues_the_latest_counts_when_it_takes_the_slot_of_its_dead_parent(self, tmp_path: Path) -> None:
        printed = run(
            """
def parent():
    slots, served, busy = join()
    served.inc()
    os.close(parent_lives)

    def child():
        os.read(wait, 1)
        served.inc(100)
        busy.set(3)
        os.write(report, f"{slots.slot()} {sum(len(m.samples) for m in slots.merged())}".encode())

    fork(child)
    served.inc(10)

wait, parent_lives = os.pipe()
reported, report = os.pipe()
os.waitpid(fork(parent), 0)
os.close(parent_lives)
os.close(report)
print(os.read(reported, 100).decode())
""",
            tmp_path,
        )

        slot, series = printed.split()
        assert (slot, series) == ("0", "2")
        assert merged(tmp_path)["served_total"] == 111


class TestMerged:
    def test_contains_gauges_of_live_processes_only(self, tmp_path: Path) -> None:
        printed = run(
            """
def worker(end):
    slots, _, busy = join()
    busy.set(4)
    os.write(report, str(slots.slot()).encode())
    end()

def stay():
    os.close(over)
    os.read(wait, 1)

wait, over = os.pipe()
reported, report = os.pipe()
living = fork(lambda: worker(stay))
print(os.read(reported, 1).decode())
os.waitpid(fork(lambda: worker(die)), 0)
print(os.read(reported, 1).decode())
reader = metric_slots.SlotDirectory(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
print([s.value for m in reader.merged() for s in m.samples if s.name == "busy"])
os.close(over)
os.waitpid(living, 0)
print([s.value for m in reader.merged() for s in m.samples if s.name == "busy"])
""",
            tmp_path,
        )

        assert printed.split() == ["0", "1", "[4.0]", "[]"]

    def test_skips_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "counter_0.db").touch()

        assert SlotDirectory(tmp_path).merged() == []


class TestStartedAt:
    def test_is_the_start_of_the_first_process(self, tmp_path: Path) -> None:
        SlotDirectory(tmp_path)
        os.utime(tmp_path / "started", (1_700_000_000, 1_700_000_000))

        assert SlotDirectory(tmp_path).started_at == 1_700_000_000
