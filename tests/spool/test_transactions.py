"""Concurrent threads, forks, killed processes, files set aside while in use, and a disk that is really full."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from small_disk import small_disk
from spooling import append, contents

from calyapp.spool.journal import MIN_BYTES, Journal

ROOT = Path(__file__).parents[2]

PRELUDE = """
import os, sys, signal
from datetime import datetime, UTC
from pathlib import Path
from calyapp.spool.journal import MIN_BYTES, Journal, Lane, SpoolError

journal = Journal(Path(sys.argv[1]), MIN_BYTES)

def append(content, lane=Lane.AWAY):
    journal.append(content, client_id=None, lane=lane, arrived_at=datetime.now(UTC))
"""


def start(script: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRELUDE + script, str(folder), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


class TestFullDisk:
    def test_refuses_frames_keeps_accepted_ones_and_drains(self, tmp_path: Path) -> None:
        filling = """
from contextlib import suppress
from spooling import append, drain, fill

disk = Path(sys.argv[1])
journal = Journal(disk / "spool", 64 << 20)
append(journal, b"first")
accepted = fill(journal, size=10_000)
journal.close()  # deletes the -wal file, so that even opening the journal needs space
with (disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
    while True:  # another program uses up the rest
        ballast.write(b"x" * 4096)

assert not journal.has_room()
assert journal.status().depth == accepted + 1
assert drain(journal) == accepted + 1
journal.close()
(disk / "ballast").unlink()
assert journal.has_room()
"""
        with small_disk(tmp_path, "8m") as inside:
            command = [*inside, sys.executable, "-c", PRELUDE + filling, tmp_path]
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

        assert (ended.returncode, ended.stderr) == (0, "")


class TestProcesses:
    def test_killed_at_any_moment_lose_no_acknowledged_frame(self, tmp_path: Path) -> None:
        writing = """
number = int(sys.argv[2])
while True:
    append(b"%d" % number)
    os.write(1, b"%d\\n" % number)
    number += 1
"""
        acknowledged: list[int] = []
        for lines in (1, 2, 30, 77, 150):
            process = start(writing, tmp_path, str(len(acknowledged) * 1000))
            assert process.stdout
            acknowledged += [int(process.stdout.readline()) for _ in range(lines)]
            process.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in process.communicate()[0].splitlines()]

        stored = [int(content) for content in contents(Journal(tmp_path, MIN_BYTES))]

        assert set(acknowledged) <= set(stored)
        assert len(stored) == len(set(stored)) <= len(acknowledged) + 5

    def test_append_concurrently_without_losing_a_frame(self, tmp_path: Path) -> None:
        script = 'for number in range(100): append(b"%s %d" % (sys.argv[2].encode(), number))'
        processes = [start(script, tmp_path, name) for name in "abcd"]

        assert [process.wait() for process in processes] == [0, 0, 0, 0]
        for process in processes:
            process.communicate()
        assert sorted(contents(Journal(tmp_path, MIN_BYTES))) == sorted(
            b"%s %d" % (name.encode(), number) for name in "abcd" for number in range(100)
        )

    def test_share_the_journal_after_forks_while_threads_append(self, tmp_path: Path) -> None:
        script = """
import threading
append(b"before")
def work(name):
    for number in range(40):
        append(b"%s %d" % (name, number))
threads = [threading.Thread(target=work, args=(b"thread%d" % n,)) for n in range(2)]
for thread in threads: thread.start()
children = []
for n in range(4):
    child = os.fork()
    if child == 0:
        try:
            work(b"child%d" % n)
        finally:
            os._exit(0)
    children.append(child)
for thread in threads: thread.join()
print([os.waitpid(child, 0)[1] for child in children])
"""
        process = start(script, tmp_path)

        assert process.communicate()[0] == "[0, 0, 0, 0]\n"
        assert len(contents(Journal(tmp_path, MIN_BYTES))) == 1 + 6 * 40

    def test_continue_in_the_new_file_after_another_process_replaced_the_old_one(self, tmp_path: Path) -> None:
        writing = """
append(b"before")
print("ready", flush=True)
for line in sys.stdin:
    append(line.strip().encode())
    print("written", flush=True)
"""
        command = [sys.executable, "-c", PRELUDE + writing, str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True) as other:
            assert other.stdin
            assert other.stdout
            other.stdout.readline()
            file = (tmp_path / "journal.db").resolve()
            journal = Journal(tmp_path, MIN_BYTES)
            append(journal, b"ours")
            journal.close()
            with file.open("r+b") as opened:
                opened.write(b"garbage" * 20)

            assert sorted(contents(journal)) == [b"before", b"ours"]
            append(journal, b"after")
            other.stdin.write("theirs\n")
            other.stdin.close()

            assert other.stdout.readline() == "written\n"
            assert other.wait() == 0
        journal.close()
        assert sorted(contents(journal)) == [b"after", b"before", b"ours", b"theirs"]
        assert journal.status().damaged_files == 1

    def test_share_the_journal_between_threads(self, journal: Journal) -> None:
        threads = [
            threading.Thread(target=lambda: [append(journal, b"x") for _ in range(50)] and None) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert journal.status().depth == 200
