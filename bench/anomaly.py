"""What the detector of attacks sees of `tests/anomaly`, by pattern and channel, and what it costs.

The shares are the result, and are for our own samples; the times depend on the machine.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from anomaly_samples import (  # noqa: E402 — found only once the path is set
    CHANNELS,
    INJECTIONS,
    WORST_CASES,
    attacks,
    benign,
    delivery,
)

from calyapp.anomaly.rules import Pattern, inspect, patterns  # noqa: E402 — the same
from calyapp.anomaly.values import Inspected  # noqa: E402 — the same

RUNS, CALLS = 5, 200
LARGEST = 65_536


def main() -> None:
    """Measure, and print the tables."""
    report = "\n\n".join("\n".join(lines) for lines in (_recall(), _false_positives(), _cost()))
    print(report)  # noqa: T201 — the table is what was asked for


def _recall() -> list[str]:
    """Which share of the attacks is found."""
    lines = [f"{'recall %':<18} {'samples':>7}" + "".join(f" {channel:>7}" for channel in CHANNELS)]
    for pattern in INJECTIONS:
        values = attacks(pattern)
        shares = [
            _share(values, lambda value, pack=pack, p=pattern: _shows(pack(value), p)) for pack in CHANNELS.values()
        ]
        lines.append(f"{pattern:<18} {len(values):>7}" + "".join(f" {share:>7.1f}" for share in shares))
    return lines


def _false_positives() -> list[str]:
    lines = [f"{'false positives %':<18} {'samples':>7} {'share':>7}"]
    for kind, requests in benign().items():
        lines.append(f"{kind:<18} {len(requests):>7} {_share(requests, lambda request: bool(inspect(request))):>7.1f}")
    return lines


def _cost() -> list[str]:
    plain, noted = delivery(), benign()["deliveries"]
    with_text = mean(_microseconds(lambda request=request: inspect(request), CALLS // 10) for request in noted)
    slowest = max(WORST_CASES, key=lambda unit: _milliseconds(unit, 1))
    return [
        f"{'a delivery without free text, µs':<34} {_microseconds(lambda: inspect(plain), CALLS):>7.1f}",
        f"{'a delivery with free text, mean µs':<34} {with_text:>7.1f}",
        f"{'the worst value of 64 KiB, ms':<34} {_milliseconds(slowest, 3):>7.1f}",
        f"{'64 KiB in values of 1 KiB, ms':<34} {max(map(_of_many_values, WORST_CASES)):>7.1f}",
    ]


def _shows(request: object, pattern: Pattern) -> bool:
    return any(finding.pattern is pattern for finding in inspect(request))


def _share(samples: list, holds: Callable[[object], bool]) -> float:
    return 100 * sum(map(holds, samples)) / len(samples)


def _milliseconds(unit: str, runs: int) -> float:
    value = unit * (LARGEST // len(unit))
    return _best_seconds(lambda: patterns(value), 1, runs) * 1e3


def _of_many_values(unit: str) -> float:
    value = unit * (1_024 // len(unit))
    request = Inspected(form=tuple((f"n{number}", value) for number in range(64)), headers={"user-agent": "x"})
    return _best_seconds(lambda: inspect(request), 1, 2) * 1e3


def _microseconds(call: Callable[[], object], calls: int) -> float:
    return _best_seconds(call, calls, RUNS) * 1e6


def _best_seconds(call: Callable[[], object], calls: int, runs: int) -> float:
    """Of a call, of processor time: other programs do not count."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        for _ in range(calls):
            call()
        found.append((time.process_time() - began) / calls)
    return min(found)


if __name__ == "__main__":
    main()
