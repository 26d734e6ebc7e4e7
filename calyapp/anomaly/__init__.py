"""Detects requests that look like an attack. Pure functions: no HTTP library, no storage, no refusals."""
