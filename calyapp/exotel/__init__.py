"""Exotel: reads what it sends in all its dialects, and writes the answers that it acts on."""
