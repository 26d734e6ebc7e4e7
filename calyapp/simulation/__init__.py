"""Simulates Exotel against a running server, and compares the stored calls with what was sent."""
