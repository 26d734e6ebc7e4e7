"""Signing in and out: a session for an e-mail address and a password, and who it is that asks."""

from typing import Any

from flask import Blueprint, g, request

from calyapp import clock, redact, validation
from calyapp.access import passwords
from calyapp.access.principal import Origin, Principal, PrincipalKind
from calyapp.access.user_store import User
from calyapp.errors import AuthenticationError, AuthorizationError, ValidationError
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.failed_logins import FailedLogins
from calyapp.web.pipeline.hit_counter import HitCounter
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.routing import Access, Profile
from calyapp.web.schemas import LoginSchema, PasswordChangeSchema

_LONGEST_USER_AGENT = 512

Answer = dict[str, Any]


class Auth:
    """The views under `/api/auth`."""

    def __init__(self, services: Services, failed_logins: FailedLogins) -> None:
        self._authentication = services.authentication
        self._failed_logins = failed_logins

    def login(self) -> Answer:
        """Unknown address, wrong password and suspended user: one answer, after the same work."""
        sent = validation.load(LoginSchema(), parameters.json_value(request))
        email, origin = sent["email"], _origin()
        self._failed_logins.refuse_if_too_many(email)
        sign_in = self._authentication.sign_in(email, sent["password"], origin)
        if sign_in.user is None or sign_in.session is None:
            whose = (sign_in.user.id, sign_in.user.client_id) if sign_in.user else (None, None)
            self._failed_logins.note(email, origin, *whose)
            raise AuthenticationError("The e-mail address or the password is wrong.")
        return {
            "token": sign_in.session.token,
            "expiresAt": clock.iso(sign_in.session.expires_at),
            "user": _shown_user(sign_in.user),
        }

    def logout(self) -> Answer:
        self._authentication.sign_out(_signed_in(), _origin())
        return {"success": True}

    def me(self) -> Answer:
        principal: Principal = g.principal
        name = "email" if principal.kind is PrincipalKind.USER else "name"
        return {
            "kind": principal.kind.value,
            "id": str(principal.id),
            name: principal.name,
            "role": principal.role.value,
            "clientId": str(principal.client_id) if principal.client_id else None,
        }

    def password(self) -> Answer:
        """A wrong current password counts as a failed login: a stolen session is no way around that limit."""
        principal = _signed_in()
        sent = validation.load(PasswordChangeSchema(), parameters.json_value(request))
        if wrong := passwords.weakness(sent["new_password"]):
            raise ValidationError(f"newPassword {wrong}", {"newPassword": [wrong]})
        self._failed_logins.refuse_if_too_many(principal.name)
        current, new, origin = sent["current_password"], sent["new_password"], _origin()
        if not self._authentication.change_password(principal, current, new, origin):
            self._failed_logins.note(principal.name, origin, principal.id, principal.client_id)
            wrong = "is wrong."
            raise ValidationError(f"currentPassword {wrong}", {"currentPassword": [wrong]})
        return {"success": True}


def blueprint(services: Services, counter: HitCounter) -> Blueprint:
    """The routes."""
    routes = Blueprint("auth", __name__, url_prefix="/api/auth")
    views = Auth(services, FailedLogins(counter, services.throttled_trail))
    known: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    routes.add_url_rule("/login", "login", views.login, methods=["POST"], access=Access.PUBLIC, limit=Profile.LOGIN)
    routes.add_url_rule("/logout", "logout", views.logout, methods=["POST"], **known)
    routes.add_url_rule("/me", "me", views.me, **known)
    routes.add_url_rule("/password", "password", views.password, methods=["POST"], **known)
    return routes


def _signed_in() -> Principal:
    """The principal, if it is a user with a session."""
    principal: Principal = g.principal
    if principal.kind is not PrincipalKind.USER:
        raise AuthorizationError("An API key has neither a session nor a password.")
    return principal


def _shown_user(user: User) -> Answer:
    return {
        "id": str(user.id),
        "email": user.email,
        "role": user.role.value,
        "clientId": str(user.client_id) if user.client_id else None,
    }


def _origin() -> Origin:
    user_agent = redact.text(request.user_agent.string)[:_LONGEST_USER_AGENT] or None
    return Origin("api", client_address(), user_agent, g.request_id)
