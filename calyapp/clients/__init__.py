"""Tenants: who they are, which numbers are theirs, and how their deliveries prove themselves."""
