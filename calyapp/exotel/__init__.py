"""Exotel's dialect: what it sends, and what it wants to hear."""
