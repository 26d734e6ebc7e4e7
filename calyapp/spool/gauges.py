"""The spool in figures, for the metrics."""

from calyapp import clock, metrics
from calyapp.spool.journal import Journal, SpoolError

EVERY_SECONDS = 5.0


def measure(journal: Journal) -> None:
    """Set the gauges to what the journal holds now; they stay as they are where it cannot be read."""
    try:
        status = journal.status()
    except SpoolError:
        return  # its health check tells
    oldest = (clock.now() - status.oldest_at).total_seconds() if status.oldest_at else 0.0
    metrics.SPOOL_FRAMES.labels("waiting").set(status.depth)
    metrics.SPOOL_FRAMES.labels("quarantined").set(status.quarantined)
    metrics.SPOOL_OLDEST_SECONDS.set(max(0.0, oldest))
    metrics.SPOOL_BYTES.set(status.bytes)
