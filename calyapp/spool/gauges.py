"""The spool in figures, for the metrics."""

from calyapp import clock, metrics
from calyapp.spool.journal import Journal, Lane, SpoolError

EVERY_SECONDS = 5.0


def measure(journal: Journal) -> None:
    """Set the gauges to what the journal holds now; they stay as they are where it cannot be read."""
    try:
        status = journal.status()
    except SpoolError:
        return  # its health check tells
    metrics.SPOOL_FRAMES.labels("waiting").set(status.depth)
    metrics.SPOOL_FRAMES.labels("quarantined").set(status.quarantined)
    now = clock.now()
    for lane in Lane:
        metrics.SPOOL_OLDEST_SECONDS.labels(lane.value).set(status.oldest_seconds(now, lane))
    metrics.SPOOL_BYTES.set(status.bytes)
    metrics.SPOOL_LIMIT_BYTES.set(journal.max_bytes)
