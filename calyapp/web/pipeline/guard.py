"""Who may come in. Every route declares its access in its rule; one that does not keeps the service from starting."""

from http import HTTPStatus
from uuid import UUID

from flask import Flask, Response, g, request

from calyapp import redact
from calyapp.access.principal import Principal, Role
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.clients.directory import CLIENT_DISABLED_MESSAGE
from calyapp.clients.keys import Claim
from calyapp.config import WebhookAuth
from calyapp.errors import AppError, AuthenticationError, AuthorizationError, DatabaseError
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.pipeline.proxy import client_address, client_neighbourhood, is_within
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.pipeline.unknown_tokens import UnknownTokens
from calyapp.web.routing import Access, GuardedRule

_BEARER = "the header must be: Authorization: Bearer, a space, and a session token or an API key."
_ADVICE = "register with Exotel the webhook URL that `flask caly clients show CLIENT --with-key` prints."
_WRONG_KEY = f"The webhook key is wrong or was retired: {_ADVICE}"


def install(app: Flask, services: Services, counter: RateLimitWindows) -> None:
    """Look who it is. Before the views are added: their rules take their access from here on."""
    app.url_rule_class = GuardedRule
    unknown_tokens = UnknownTokens(counter)
    guards = {
        Access.PUBLIC: lambda: None,
        Access.WEBHOOK_KEY: lambda: _identify_client(services),
        Access.TRUSTED_NETWORK: lambda: _require_trusted_network(services, unknown_tokens),
        Access.SIGNED_IN: lambda: _require_role(services, unknown_tokens),
    }

    def identify() -> None:
        g.client_id, g.unconfirmed_key_version, g.principal, g.refusal = None, None, None, None
        g.named_client_id = None
        if isinstance(rule := request.url_rule, GuardedRule) and rule.access:
            try:
                guards[rule.access]()
            except (AuthenticationError, AuthorizationError) as refusal:
                g.refusal = refusal

    app.before_request(identify)
    app.after_request(_name_scheme)


def concerned_client() -> UUID | None:
    """The client of the request, or the one that a key names which is no longer valid. For the trail alone."""
    return (g.client_id or g.named_client_id) if "named_client_id" in g else None


def enforce(app: Flask, services: Services) -> None:
    """Turn away whom `install` did not know; later, so that refusals are counted against their limit first."""

    def turn_away() -> None:
        if g.refusal:
            if request.blueprint != "webhooks":  # those have an event of their own
                kind = ("denied", client_neighbourhood(), str(_principal_id()), g.refusal.code)
                services.throttled_audit_log.record(kind, _denial(g.refusal))
            raise g.refusal

    app.before_request(turn_away)


def verify(app: Flask) -> None:
    """Refuse to start with a route that does not say who may use it. Raises `LookupError`."""
    open_rules = [rule.rule for rule in app.url_map.iter_rules() if not getattr(rule, "access", None)]
    if open_rules:
        raise LookupError(f"These routes declare no access: {', '.join(sorted(open_rules))}")


def _identify_client(services: Services) -> None:
    key = _presented_key()
    if key is not None:
        claim = services.webhook_keys.verify(key)
        if claim is None:
            raise AuthenticationError(_WRONG_KEY)
        g.named_client_id = claim.client_id
        _require_valid(services, claim)
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


def _require_valid(services: Services, claim: Claim) -> None:
    try:
        if services.directory.authenticate(claim):
            return
        is_disabled = services.directory.is_disabled(claim.client_id)
    except DatabaseError:
        # Minted here, and retired or not, which cannot be known now: the delivery is taken, and judged at its replay.
        g.unconfirmed_key_version = claim.version
        return
    raise AuthenticationError(CLIENT_DISABLED_MESSAGE if is_disabled else _WRONG_KEY)


def _require_trusted_network(services: Services, unknown_tokens: UnknownTokens) -> None:
    if is_within(request.remote_addr or "", services.settings.health_trusted):
        return
    if "Authorization" not in request.headers:
        raise AuthenticationError("From this address the details of the service's health need an admin's key.")
    _admit(_identified(services, unknown_tokens), frozenset({Role.ADMIN}))


def _require_role(services: Services, unknown_tokens: UnknownTokens) -> None:
    rule = request.url_rule
    if isinstance(rule, GuardedRule):
        _admit(_identified(services, unknown_tokens), rule.roles)


def _admit(principal: Principal, roles: frozenset[Role]) -> None:
    g.principal, g.client_id = principal, principal.client_id
    if principal.role not in roles:
        raise AuthorizationError(f"The role {principal.role} may not do this.")


def _identified(services: Services, unknown_tokens: UnknownTokens) -> Principal:
    token = _bearer_token()
    unknown_tokens.refuse_if_too_many(token)
    principal = services.authentication.identify(token)
    unknown_tokens.note(token, is_good=principal is not None)
    if principal is None:
        raise AuthenticationError("The token or key is wrong, has expired or was revoked.")
    return principal


def _bearer_token() -> str:
    presented = request.headers.getlist("Authorization")
    if not presented:
        raise AuthenticationError(f"Nobody is signed in: {_BEARER}")
    scheme, _, token = presented[0].partition(" ")
    if len(presented) > 1 or scheme.lower() != "bearer" or not token:
        raise AuthenticationError(f"The Authorization header cannot be read: {_BEARER}")
    return token


def _name_scheme(response: Response) -> Response:
    """A 401 has to say what would be accepted; Exotel has no use for it."""
    if response.status_code == HTTPStatus.UNAUTHORIZED and request.blueprint != "webhooks":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _principal_id() -> object:
    return g.principal.id if g.principal else None


def _denial(refusal: AppError) -> Entry:
    principal: Principal | None = g.principal
    return Entry.now(
        EventType.ACCESS_DENIED,
        "Access denied",
        status="failure",
        client_id=g.client_id,
        user_id=principal.user_id if principal else None,
        resource="route",
        resource_id=request.url_rule.rule if request.url_rule else None,
        ip_address=client_address(),
        user_agent=redact.text(request.user_agent.string)[:512] or None,
        request_id=g.request_id,
        metadata={
            "code": refusal.code,
            "reason": refusal.message,
            "principal": principal.shown if principal else None,
        },
    )
