"""The API for users and programs: `/api/calls`, `/api/audit` and `/api/auth`."""
