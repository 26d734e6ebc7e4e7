"""Measures the spool for the metrics."""

from calyapp import clock, metrics
from calyapp.spool.journal import Journal, Lane, SpoolError

EVERY_SECONDS = 5.0


def measure(journal: Journal) -> None:
    """Sets the gauges to what the journal holds now. They keep their values if the journal cannot be read."""
    try:
        status = journal.status()
    except SpoolError:
        return  # the health check reports it
    metrics.SPOOL_FRAMES.labels("waiting").set(status.depth)
    metrics.SPOOL_FRAMES.labels("quarantined").set(status.quarantined)
    now = clock.now()
    for lane in Lane:
        metrics.SPOOL_OLDEST_SECONDS.labels(lane.value).set(status.oldest_seconds(now, lane))
    metrics.SPOOL_BYTES.set(status.bytes)
    metrics.SPOOL_LIMIT_BYTES.set(journal.max_bytes)
