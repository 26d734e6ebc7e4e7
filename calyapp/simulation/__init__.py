"""Plays Exotel against a running server and compares the records with what it sent."""
