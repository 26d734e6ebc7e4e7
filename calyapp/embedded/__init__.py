"""The PostgreSQL server that development and tests start for themselves."""
