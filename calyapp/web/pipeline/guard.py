"""Who may come in. Every route declares its access in its rule; one that does not keeps the service from starting."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from flask import Flask, g, request
from werkzeug.routing import Rule

from calyapp.clients.keys import Claim
from calyapp.config import WebhookAuth
from calyapp.errors import AuthenticationError
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.pipeline.proxy import is_within

_ADVICE = "register with Exotel the webhook URL that `flask caly clients show` prints."


class Access(StrEnum):
    """Who may use a route."""

    PUBLIC = "public"
    WEBHOOK_KEY = "webhook key"
    TRUSTED_NETWORK = "trusted network"


class GuardedRule(Rule):
    """A URL rule with its access: `add_url_rule(…, access=Access.PUBLIC)`."""

    def __init__(self, *arguments: Any, access: Access | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access = access


def install(app: Flask, services: Services) -> None:
    """Before the views are added: their rules take their access from here on."""
    app.url_rule_class = GuardedRule
    guards = {
        Access.PUBLIC: lambda: None,
        Access.WEBHOOK_KEY: lambda: _identify_client(services),
        Access.TRUSTED_NETWORK: lambda: _require_trusted_network(services),
    }

    def admit() -> None:
        g.client_id = None
        if isinstance(rule := request.url_rule, GuardedRule) and rule.access:
            guards[rule.access]()

    app.before_request(admit)


def verify(app: Flask) -> None:
    """Refuse to start with a route that does not say who may use it. Raises `LookupError`."""
    open_rules = [rule.rule for rule in app.url_map.iter_rules() if not getattr(rule, "access", None)]
    if open_rules:
        raise LookupError(f"These routes declare no access: {', '.join(sorted(open_rules))}")


def _identify_client(services: Services) -> None:
    key = _presented_key()
    if key is not None:
        g.client_id = _owner(services, key)
    elif services.settings.webhook_auth is WebhookAuth.REQUIRED:
        raise AuthenticationError(f"The webhook key is missing: {_ADVICE}")


def _presented_key() -> str | None:
    """The key from the URL or from HTTP Basic; twice the same is fine, anything else that comes twice is not."""
    in_url = request.args.getlist(parameters.KEY)
    if len(in_url) > 1:
        raise AuthenticationError("The webhook key stands more than once in the URL.")
    presented = set(in_url)
    if (login := request.authorization) is not None and login.type == "basic":
        presented.add(login.password or "")
    if len(presented) > 1:
        raise AuthenticationError("The webhook keys in the URL and in the Authorization header differ.")
    return presented.pop() if presented else None


def _owner(services: Services, key: str) -> UUID:
    claim: Claim | None = services.webhook_keys.verify(key)
    if claim is None or services.directory.accepts(claim) is None:
        raise AuthenticationError(f"The webhook key is wrong or was retired: {_ADVICE}")
    return claim.client_id


def _require_trusted_network(services: Services) -> None:
    if not is_within(request.remote_addr or "", services.settings.health_trusted):
        raise AuthenticationError("This address may not see the details of the service's health.")
