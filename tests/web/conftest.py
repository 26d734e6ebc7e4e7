"""A client of Caly's, and deliveries to it as Exotel would send them."""

from types import SimpleNamespace

import pytest

NUMBER = "+918047112345"


@pytest.fixture
def tenant(app):
    """A client with one number and its webhook key."""
    parts = app.extensions["caly"]
    added = parts.clients.add("Asha Clinics", [NUMBER])
    return SimpleNamespace(id=added.id, number=NUMBER, key=parts.webhook_keys.mint(added.id, 1))


@pytest.fixture
def deliver(client, tenant):
    """`deliver(route, **fields)`: the answer to a form with these fields, under the tenant's key."""

    def send(route: str, key: str | None = tenant.key, **fields: str):
        return client.post(f"/webhooks/exotel/{route}", query_string={"key": key} if key else {}, data=fields)

    return send


@pytest.fixture
def start():
    """The fields of a call's first delivery."""
    return {"CallSid": "sid-1", "From": "09876543210", "To": "08047112345"}
