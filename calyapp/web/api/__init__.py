"""The records API: `/api/calls`, `/api/audit` and `/api/auth`."""
