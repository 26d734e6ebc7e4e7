"""Clients: the tenants, their numbers, their webhook keys, and their accounts at Exotel."""
