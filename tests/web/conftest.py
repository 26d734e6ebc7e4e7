"""A client, deliveries for it as Exotel sends them, and users and API keys that read its records."""

from types import SimpleNamespace
from uuid import uuid4

import pytest

from calyapp.access.principal import COMMAND_LINE, Role

NUMBER = "+918047112345"
PASSWORD = "seven lamps by the ghat"


@pytest.fixture
def tenant(app):
    """A client with one number and its webhook key."""
    parts = app.extensions["caly"]
    added = parts.clients.add("Asha Clinics", [NUMBER])
    return SimpleNamespace(id=added.id, number=NUMBER, key=parts.webhook_keys.mint(added.id, 1))


@pytest.fixture
def deliver(client, tenant):
    """`deliver(route, **fields)`: the answer to a form with these fields and the tenant's key."""

    def send(route: str, key: str | None = tenant.key, **fields: str):
        return client.post(f"/webhooks/exotel/{route}", query_string={"key": key} if key else {}, data=fields)

    return send


@pytest.fixture
def start():
    """The fields of a call's first delivery."""
    return {"CallSid": "sid-1", "From": "09876543210", "To": "08047112345"}


@pytest.fixture
def user(app):
    """`user(role, client_id)`: the header of a new, signed-in user with this role."""
    parts = app.extensions["caly"]
    # Hashed once, because hashing is slow by design.
    password_hash = parts.passwords.hash(PASSWORD)

    def signed_in(role: str, client_id=None) -> dict[str, str]:
        email = f"{role}-{uuid4().hex[:8]}@example.com"
        parts.users.add(email, password_hash, Role(role), client_id)
        session = parts.sessions.open(parts.users.credentials(email), COMMAND_LINE)
        return {"Authorization": f"Bearer {session.token}"}

    return signed_in


@pytest.fixture
def api_key(app):
    """`api_key(role, client_id)`: the header of a new API key with this role."""

    def created(role: str, client_id=None, expires_at=None) -> dict[str, str]:
        _, token = app.extensions["caly"].api_keys.create("A program", Role(role), client_id, expires_at)
        return {"Authorization": f"Bearer {token}"}

    return created
