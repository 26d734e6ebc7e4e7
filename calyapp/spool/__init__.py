"""Deliveries that wait on disk while PostgreSQL cannot take them."""
