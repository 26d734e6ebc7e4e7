"""The database: its tables, its connections, and a server of our own where none is given."""
