"""Authenticates and authorises requests. Each rule declares its access; without that the application does not start."""

from http import HTTPStatus
from uuid import UUID

from flask import Flask, Response, g, request

from calyapp.access.principal import Principal, Role
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.clients.directory import CLIENT_DISABLED_MESSAGE
from calyapp.clients.keys import Claim
from calyapp.config import WebhookAuth
from calyapp.errors import AppError, AuthenticationError, AuthorizationError, DatabaseError
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.pipeline.proxy import client_neighbourhood, is_within
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.pipeline.request_audit import request_entry
from calyapp.web.pipeline.unknown_tokens import UnknownTokens
from calyapp.web.routing import Access, GuardedRule

_HOW_TO_SIGN_IN = "Send: `Authorization: Bearer <session token or API key>`."
_HOW_TO_REGISTER = "Register with Exotel the webhook URL that `flask caly clients show CLIENT --with-key` prints."
_WRONG_KEY = f"The webhook key is wrong or retired. {_HOW_TO_REGISTER}"


def install(app: Flask, services: Services, counter: RateLimitWindows) -> None:
    """Installs identification. Must run before routes are added, because it sets the class of their rules."""
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
    """Returns the client of the request, or the one that a retired key names. Only for the audit log."""
    return (g.client_id or g.named_client_id) if "named_client_id" in g else None


def enforce(app: Flask, services: Services) -> None:
    """Installs the refusal of requests that `install` did not admit. It runs after the rate limits, which therefore
    count refused requests too.
    """

    def refuse() -> None:
        if g.refusal:
            if request.blueprint != "webhooks":  # a refused delivery is audited as WEBHOOK_REJECTED
                principal_id = g.principal.id if g.principal else None
                kind = ("denied", client_neighbourhood(), str(principal_id), g.refusal.code)
                services.throttled_audit_log.record(kind, _denial(g.refusal))
            raise g.refusal

    app.before_request(refuse)


def verify(app: Flask) -> None:
    """Raises `LookupError` if a route declares no access."""
    undeclared = [rule.rule for rule in app.url_map.iter_rules() if not getattr(rule, "access", None)]
    if undeclared:
        raise LookupError(f"These routes declare no access: {', '.join(sorted(undeclared))}")


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
        raise AuthenticationError(f"The webhook key is missing. {_HOW_TO_REGISTER}")


def _presented_key() -> str | None:
    """Returns the key from the URL or from HTTP Basic. Raises `AuthenticationError` if it is repeated in the URL, or
    if the two differ.
    """
    in_url = request.args.getlist(parameters.KEY)
    if len(in_url) > 1:
        raise AuthenticationError("The URL contains the webhook key more than once.")
    presented = {*in_url, *_password()}
    if len(presented) > 1:
        raise AuthenticationError("The webhook keys in the URL and in the Authorization header differ.")
    return presented.pop() if presented else None


def _password() -> tuple[str, ...]:
    """Returns the password of HTTP Basic, if that is used. An unreadable header counts as an empty password."""
    if not request.headers.get("Authorization", "").lower().startswith("basic"):
        return ()
    credentials = request.authorization
    return ((credentials.password if credentials else None) or "",)


def _require_valid(services: Services, claim: Claim) -> None:
    try:
        if services.directory.authenticate(claim):
            return
        is_disabled = services.directory.is_disabled(claim.client_id)
    except DatabaseError:
        # The key is genuine, but whether it is retired cannot be read now. The delivery is accepted, and its key
        # version checked at its replay.
        g.unconfirmed_key_version = claim.version
        return
    raise AuthenticationError(CLIENT_DISABLED_MESSAGE if is_disabled else _WRONG_KEY)


def _require_trusted_network(services: Services, unknown_tokens: UnknownTokens) -> None:
    if is_within(request.remote_addr or "", services.settings.health_trusted):
        return
    if "Authorization" not in request.headers:
        raise AuthenticationError(f"From this address, health details require an admin. {_HOW_TO_SIGN_IN}")
    _admit(_identified(services, unknown_tokens), frozenset({Role.ADMIN}))


def _require_role(services: Services, unknown_tokens: UnknownTokens) -> None:
    rule = request.url_rule
    if isinstance(rule, GuardedRule):
        _admit(_identified(services, unknown_tokens), rule.roles)


def _admit(principal: Principal, roles: frozenset[Role]) -> None:
    g.principal, g.client_id = principal, principal.client_id
    if principal.role not in roles:
        raise AuthorizationError(f"The role {principal.role} does not allow this.")


def _identified(services: Services, unknown_tokens: UnknownTokens) -> Principal:
    token = _bearer_token()
    unknown_tokens.refuse_if_too_many(token)
    principal = services.authentication.identify(token)
    unknown_tokens.record(token, is_valid=principal is not None)
    if principal is None:
        raise AuthenticationError("The token or API key is wrong, expired or revoked.")
    return principal


def _bearer_token() -> str:
    presented = request.headers.getlist("Authorization")
    if not presented:
        raise AuthenticationError(f"The Authorization header is missing. {_HOW_TO_SIGN_IN}")
    scheme, _, token = presented[0].partition(" ")
    if len(presented) > 1 or scheme.lower() != "bearer" or not token:
        raise AuthenticationError(f"The Authorization header is invalid. {_HOW_TO_SIGN_IN}")
    return token


def _name_scheme(response: Response) -> Response:
    """Adds the header that HTTP requires in a 401. Exotel does not use it."""
    if response.status_code == HTTPStatus.UNAUTHORIZED and request.blueprint != "webhooks":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _denial(refusal: AppError) -> Entry:
    principal: Principal | None = g.principal
    return request_entry(
        EventType.ACCESS_DENIED,
        "Access denied",
        status="failure",
        metadata={
            "code": refusal.code,
            "reason": refusal.message,
            "principal": principal.shown if principal else None,
        },
    )
