"""Access to the records API: users, sessions and API keys."""
