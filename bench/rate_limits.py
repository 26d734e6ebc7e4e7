"""What it costs to count a request: our direct way, and Flask-Limiter's decorator, each against a bare view.

Medians of interleaved runs. The ratio is the result; the microseconds depend on the machine.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from flask import Flask
from flask_limiter import Limiter
from limits import parse

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from redis_server import RedisServer  # noqa: E402 — found only once the path is set

from calyapp.web.pipeline.rate_limit_window import REDIS_OPTIONS, RateLimitWindows  # noqa: E402 — the same

RUNS, CALLS = 7, 3_000
LIMIT = "1000000/minute"


def main() -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder))
        redis.start()
        try:
            table = _table(_measure(_ways("memory://", {}) | _ways(redis.url, REDIS_OPTIONS)))
        finally:
            redis.stop()
    print(table)  # noqa: T201 — the table is what was asked for


def _ways(uri: str, options: dict) -> dict[str, Callable[[], object]]:
    storage = uri.partition(":")[0]
    app = Flask("bench")
    limiter = Limiter(key_func=lambda: "someone", storage_uri=uri, storage_options=options, headers_enabled=True)
    limiter.init_app(app)

    # Named, because the library knows views by their names.
    @app.get("/bare")
    @limiter.exempt
    def bare() -> str:
        return ""

    @app.get("/decorated")
    @limiter.limit(LIMIT)
    def decorated() -> str:
        return ""

    client, counter, limit = app.test_client(), RateLimitWindows(limiter), parse(LIMIT)
    return {
        f"{storage} direct": lambda: counter.hit(limit, "client", "1", "call-start"),
        f"{storage} view, decorated": lambda: client.get("/decorated"),
        f"{storage} view, bare": lambda: client.get("/bare"),
    }


def _measure(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds a call, by way."""
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                way()
            seen[name].append((time.perf_counter() - began) / CALLS * 1e6)
    return {name: median(times) for name, times in seen.items()}


def _table(found: dict[str, float]) -> str:
    lines = [f"{'storage':<8} {'direct µs':>10} {'decorator µs':>13} {'ratio':>6}"]
    for storage in ("memory", "redis"):
        direct = found[f"{storage} direct"]
        decorator = found[f"{storage} view, decorated"] - found[f"{storage} view, bare"]
        lines.append(f"{storage:<8} {direct:>10.1f} {decorator:>13.1f} {decorator / direct:>6.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
