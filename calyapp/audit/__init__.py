"""The audit log: append-only entries about what happened."""
