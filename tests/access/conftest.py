"""Users and their audit entries, straight from the stores."""

import pytest

from calyapp.access.principal import Origin, Role

EMAIL = "asha@example.com"
ORIGIN = Origin("api", "203.0.113.9", "Firefox", "1795344419512-bd9d62pfg6a7")


@pytest.fixture
def tenant_id(services):
    return services.clients.add("Asha Clinics", []).id


@pytest.fixture
def asha(services):
    """An admin whose stored hash matches no password."""
    return services.users.add(EMAIL, "hash", Role.ADMIN)


@pytest.fixture
def audited(query):
    """`audited(user)`: the audit entries of a user: (type, description, changes, metadata) of each, in order."""
    return lambda user: query(
        "SELECT event_type, description, changes, metadata FROM audit_logs WHERE user_id = %s ORDER BY created_at, id",
        str(user.id),
    )


@pytest.fixture
def signed_in(services):
    """`signed_in(user)`: the token of a new session."""

    def open_session(user):
        return services.sessions.open(services.users.credentials(user.email), ORIGIN).token

    return open_session


@pytest.fixture
def stored(query):
    """All rows about users, sessions and API keys."""
    tables = ("users", "sessions", "api_keys", "audit_logs")
    return lambda: [query(f"SELECT {table}::text FROM {table} ORDER BY 1") for table in tables]
