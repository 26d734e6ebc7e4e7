"""Health checks: how they run, what they check, and the figures of `/health/metrics`."""
