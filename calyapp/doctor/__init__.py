"""Examines this host's deployment for its operator. Changes nothing, and shows no key, password or number."""
