"""Who may come in. Every route declares its access in its rule; one that does not keeps the service from starting."""

from flask import Flask, g, request

from calyapp.clients.keys import Claim
from calyapp.config import WebhookAuth
from calyapp.errors import AuthenticationError, DatabaseError
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.pipeline.proxy import is_within
from calyapp.web.routing import Access, GuardedRule

_ADVICE = "register with Exotel the webhook URL that `flask caly clients show ID --with-key` prints."


def install(app: Flask, services: Services) -> None:
    """Look who it is. Before the views are added: their rules take their access from here on."""
    app.url_rule_class = GuardedRule
    guards = {
        Access.PUBLIC: lambda: None,
        Access.WEBHOOK_KEY: lambda: _identify_client(services),
        Access.TRUSTED_NETWORK: lambda: _require_trusted_network(services),
    }

    def identify() -> None:
        g.client_id, g.unconfirmed_key_version, g.refusal = None, None, None
        if isinstance(rule := request.url_rule, GuardedRule) and rule.access:
            try:
                guards[rule.access]()
            except AuthenticationError as refusal:
                g.refusal = refusal

    app.before_request(identify)


def enforce(app: Flask) -> None:
    """Turn away whom `install` did not know; later, so that refusals are counted against their limit first."""
    app.before_request(_turn_away)


def _turn_away() -> None:
    if g.refusal:
        raise g.refusal


def verify(app: Flask) -> None:
    """Refuse to start with a route that does not say who may use it. Raises `LookupError`."""
    open_rules = [rule.rule for rule in app.url_map.iter_rules() if not getattr(rule, "access", None)]
    if open_rules:
        raise LookupError(f"These routes declare no access: {', '.join(sorted(open_rules))}")


def _identify_client(services: Services) -> None:
    key = _presented_key()
    if key is not None:
        claim = services.webhook_keys.verify(key)
        if claim is None or not _is_valid(services, claim):
            raise AuthenticationError(f"The webhook key is wrong or was retired: {_ADVICE}")
        g.client_id = claim.client_id
    elif services.settings.webhook_auth is WebhookAuth.REQUIRED:
        raise AuthenticationError(f"The webhook key is missing: {_ADVICE}")


def _presented_key() -> str | None:
    """The key from the URL or from HTTP Basic; twice the same is fine, anything else that comes twice is not."""
    in_url = request.args.getlist(parameters.KEY)
    if len(in_url) > 1:
        raise AuthenticationError("The webhook key stands more than once in the URL.")
    presented = {*in_url, *_password()}
    if len(presented) > 1:
        raise AuthenticationError("The webhook keys in the URL and in the Authorization header differ.")
    return presented.pop() if presented else None


def _password() -> tuple[str, ...]:
    """That of HTTP Basic, where it is used; what calls itself so and cannot be read is a wrong one."""
    if not request.headers.get("Authorization", "").lower().startswith("basic"):
        return ()
    login = request.authorization
    return ((login.password if login else None) or "",)


def _is_valid(services: Services, claim: Claim) -> bool:
    try:
        return services.directory.accepts(claim) is not None
    except DatabaseError:
        # Minted here, and nobody can say whether it was retired: the delivery is taken, and judged at its replay.
        g.unconfirmed_key_version = claim.version
        return True


def _require_trusted_network(services: Services) -> None:
    if not is_within(request.remote_addr or "", services.settings.health_trusted):
        raise AuthenticationError("This address may not see the details of the service's health.")
