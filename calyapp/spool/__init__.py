"""The durable queue on disk for deliveries that PostgreSQL cannot take now."""
