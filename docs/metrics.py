"""Prints docs/metrics.md: the catalogue of metrics, for whoever watches over Caly."""

import sys

from calyapp import metrics

_HEAD = """# Metrics

`GET /health/metrics?format=prometheus`, for trusted networks (`HEALTH_TRUSTED`) and admins: all workers of the host
together. Counts go on over restarts of workers and begin anew with the service. No label holds a client, a number or
anything else that a stranger chooses. [deploy/prometheus](../deploy/prometheus) holds alerts on them. This page is made
by `make docs`.

| metric | type | labels | meaning |
|---|---|---|---|"""


def page() -> str:
    """The whole of it."""
    rows = (
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {sentence} |"
        for name, kind, labels, sentence in metrics.catalogue()
    )
    return "\n".join([_HEAD, *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
