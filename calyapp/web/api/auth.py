"""Signing in and out: a session for an e-mail address and a password, and who it is that asks."""

from typing import Any

from flask import Blueprint, g, request

from calyapp import redact, validation
from calyapp.access import passwords
from calyapp.access.principal import Origin, Principal, PrincipalKind
from calyapp.errors import AuthenticationError, AuthorizationError, ValidationError
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.api.failed_logins import FailedLogins
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.routing import Access, Profile
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.requests import LoginSchema, PasswordChangeSchema
from calyapp.web.schemas.responses import DoneSchema, PrincipalSchema, SessionSchema

_MAX_USER_AGENT_LENGTH = 512

_SESSION = SessionSchema()
_PRINCIPAL = PrincipalSchema()
_LOGIN = Operation(answer=in_json(SessionSchema), body=in_json(LoginSchema), refusals=(401, 403))
_LOGOUT = Operation(answer=in_json(DoneSchema))
_ME = Operation(answer=in_json(PrincipalSchema))
_CHANGE = Operation(answer=in_json(DoneSchema), body=in_json(PasswordChangeSchema))

Answer = dict[str, Any]


class Auth:
    """The views under `/api/auth`."""

    def __init__(self, services: Services, failed_logins: FailedLogins) -> None:
        self._authentication = services.authentication
        self._failed_logins = failed_logins

    def login(self) -> Answer:
        """Signs in with an e-mail address and a password.

        Unknown address, wrong password and suspended user: one answer, after the same work.
        """
        sent = validation.load(LoginSchema(), parameters.json_value(request))
        email, origin = sent["email"], _origin()
        self._failed_logins.refuse_if_too_many(email, origin)
        sign_in = self._authentication.sign_in(email, sent["password"], origin)
        if sign_in.user is None or sign_in.session is None:
            whose = (sign_in.user.id, sign_in.user.client_id) if sign_in.user else (None, None)
            self._failed_logins.note(email, origin, *whose)
            raise AuthenticationError("The e-mail address or the password is wrong.")
        opened = {"token": sign_in.session.token, "expires_at": sign_in.session.expires_at, "user": sign_in.user}
        shown: Answer = _SESSION.dump(opened)
        return shown

    def logout(self) -> Answer:
        """Signs out: the session ends, the user's others stay."""
        self._authentication.sign_out(_signed_in(), _origin())
        return {"success": True}

    def me(self) -> Answer:
        """Says who it is that asks."""
        principal: Principal = g.principal
        name = "email" if principal.kind is PrincipalKind.USER else "name"
        shown: Answer = _PRINCIPAL.dump(
            {
                "kind": principal.kind,
                "id": principal.id,
                name: principal.name,
                "role": principal.role,
                "client_id": principal.client_id,
            }
        )
        return shown

    def password(self) -> Answer:
        """Changes the password, and ends the user's other sessions.

        A wrong current password counts as a failed login: a stolen session is no way around that limit.
        """
        principal = _signed_in()
        sent = validation.load(PasswordChangeSchema(), parameters.json_value(request))
        if wrong := passwords.weakness(sent["new_password"]):
            raise ValidationError(f"newPassword {wrong}", {"newPassword": [wrong]})
        current, new, origin = sent["current_password"], sent["new_password"], _origin()
        self._failed_logins.refuse_if_too_many(principal.name, origin, principal.id, principal.client_id)
        if not self._authentication.change_password(principal, current, new, origin):
            self._failed_logins.note(principal.name, origin, principal.id, principal.client_id)
            wrong = "is wrong."
            raise ValidationError(f"currentPassword {wrong}", {"currentPassword": [wrong]})
        return {"success": True}


def blueprint(services: Services, counter: RateLimitWindows) -> Blueprint:
    """The routes."""
    routes = Blueprint("auth", __name__, url_prefix="/api/auth")
    views = Auth(services, FailedLogins(counter, services.throttled_audit_log))
    known: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    to_sign_in: dict[str, Any] = {"access": Access.PUBLIC, "limit": Profile.LOGIN, "operation": _LOGIN}
    routes.add_url_rule("/login", "login", views.login, methods=["POST"], **to_sign_in)
    routes.add_url_rule("/logout", "logout", views.logout, methods=["POST"], operation=_LOGOUT, **known)
    routes.add_url_rule("/me", "me", views.me, operation=_ME, **known)
    routes.add_url_rule("/password", "password", views.password, methods=["POST"], operation=_CHANGE, **known)
    return routes


def _signed_in() -> Principal:
    """The principal, if it is a user with a session."""
    principal: Principal = g.principal
    if principal.kind is not PrincipalKind.USER:
        raise AuthorizationError("An API key has neither a session nor a password.")
    return principal


def _origin() -> Origin:
    user_agent = redact.text(request.user_agent.string)[:_MAX_USER_AGENT_LENGTH] or None
    return Origin("api", client_address(), user_agent, g.request_id)
