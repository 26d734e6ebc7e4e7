"""Runs benchmarks one after the other, shows how far they are, and writes what they print to a folder.

    python bench/run.py FOLDER NAME…

A benchmark prints its table on stdout. What it says on stderr is shown if it fails; then nothing is written.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SECONDS_BETWEEN_LINES = 15  # where a line cannot be written over


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A command with a table for its output. `seconds` is how long it takes on two cores, about."""

    seconds: int
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)


def _script(name: str, seconds: int) -> Benchmark:
    return Benchmark(seconds, [sys.executable, f"bench/{name}.py"])


def _chaos(test: str, prefix: str, lasts: int, seconds: int) -> Benchmark:
    command = [sys.executable, "-m", "pytest", "--quiet", "--capture=no", f"tests/system/test_{test}.py"]
    return Benchmark(seconds, command, {f"{prefix}_SECONDS": str(lasts)})


BENCHMARKS = {
    "rate_limits": _script("rate_limits", 35),
    "audit_pages": _script("audit_pages", 60),
    "ingest": _script("ingest", 70),
    "anomaly": _script("anomaly", 10),
    "backup": _script("backup", 90),
    "export": _script("export", 300),
    "nothing_lost": _chaos("nothing_lost", "CHAOS", 60, 120),
    "flood": _chaos("flood", "FLOOD", 30, 180),
}


def main(folder: Path, names: Sequence[str]) -> int:
    """Runs these benchmarks. Returns 1 if one fails, 2 if a name is unknown."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        _say(f"There is no benchmark {unknown[0]}. There are: {', '.join(BENCHMARKS)}.")
        return 2
    minutes = max(1, round(sum(BENCHMARKS[name].seconds for name in names) / 60))
    _say(f"About {minutes} min for {', '.join(names)}. Results go to {folder}/.")
    folder.mkdir(parents=True, exist_ok=True)
    failed = [name for number, name in enumerate(names, 1) if not _run(name, folder, f"[{number}/{len(names)}]")]
    if failed:
        _say(f"Failed, with nothing written: {', '.join(failed)}.")
    return 1 if failed else 0


def _run(name: str, folder: Path, position: str) -> bool:
    benchmark = BENCHMARKS[name]
    environment = os.environ | benchmark.environment
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(  # noqa: S603 — our own commands
            benchmark.command, cwd=ROOT, env=environment, stdout=output, stderr=errors
        )
        try:
            _wait(process, f"{position} {name}", benchmark.seconds)
        except KeyboardInterrupt:
            process.wait()
            raise
        output.seek(0)
        table = output.read()
        sys.stdout.write(table + "\n")
        sys.stdout.flush()
        if process.returncode != 0:
            errors.seek(0)
            sys.stderr.write(errors.read())
            return False
    (folder / f"{name}.txt").write_text(table)
    return True


def _wait(process: subprocess.Popen[bytes], name: str, seconds: int) -> None:
    """Until it ends; meanwhile say how long it has been running."""
    began = time.monotonic()
    overwrites = sys.stderr.isatty()
    interval = 1 if overwrites else _SECONDS_BETWEEN_LINES
    while True:
        line = f"{name}: {time.monotonic() - began:.0f} s of about {seconds} s"
        sys.stderr.write(f"\r\x1b[K{line}" if overwrites else f"{line}\n")
        sys.stderr.flush()
        try:
            process.wait(interval)
        except subprocess.TimeoutExpired:
            continue
        if overwrites:
            sys.stderr.write("\r\x1b[K")
        _say(f"{name}: done in {time.monotonic() - began:.0f} s")
        return


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)
