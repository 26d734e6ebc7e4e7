"""The audit trail: what happened, on record for good."""
