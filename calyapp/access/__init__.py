"""Who may use the records API: users and their sessions, and API keys."""
