"""Prints docs/metrics.md: the catalogue of metrics, for operators."""

import sys

from calyapp import metrics

_HEAD = """# Metrics

`GET /health/metrics?format=prometheus`, for trusted networks (`HEALTH_TRUSTED`) and admins: all workers of the host
together. Counters continue when a worker restarts, and begin at 0 when the service restarts. No label contains a
client, a number or anything else that a sender chooses. [deploy/prometheus](../deploy/prometheus) has alerts.
`make docs` writes this page.

| metric | type | labels | meaning |
|---|---|---|---|"""


def page() -> str:
    """Returns the page."""
    rows = (
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {sentence} |"
        for name, kind, labels, sentence in metrics.catalogue()
    )
    return "\n".join([_HEAD, *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
