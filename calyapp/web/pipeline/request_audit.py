"""What records say about the present request: its user agent, its origin, and an audit entry about it."""

from typing import Any

from flask import g, request

from calyapp import redact
from calyapp.access.principal import Origin, Principal
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.web.pipeline.proxy import client_address

_MAX_USER_AGENT_LENGTH = 512


def user_agent() -> str | None:
    """Returns the `User-Agent` header, cut and without keys and numbers; None if the request has none."""
    return redact.text(request.user_agent.string)[:_MAX_USER_AGENT_LENGTH] or None


def origin() -> Origin:
    """Returns where the request comes from, for changes that a user makes."""
    return Origin("api", client_address(), user_agent(), g.request_id)


def request_entry(event_type: EventType, description: str, **fields: Any) -> Entry:
    """Returns an audit entry about the request: its route, address, user agent, id, client and user.

    `fields` are further fields of `Entry`, and replace these.
    """
    principal: Principal | None = g.get("principal")
    about_request = {
        "client_id": g.get("client_id"),
        "user_id": principal.user_id if principal else None,
        "resource": "route",
        "resource_id": request.url_rule.rule if request.url_rule else None,
        "ip_address": client_address(),
        "user_agent": user_agent(),
        "request_id": g.request_id,
    }
    return Entry.now(event_type, description, **(about_request | fields))
