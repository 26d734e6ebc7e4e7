"""The routes under `/api/auth`: sign in and out, show the signed-in user or API key, change the password."""

from typing import Any

from flask import Blueprint, g, request

from calyapp import validation
from calyapp.access import passwords
from calyapp.access.principal import Principal, PrincipalKind
from calyapp.errors import AuthenticationError, AuthorizationError, ValidationError
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.api.failed_logins import FailedLogins
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.pipeline.request_audit import origin
from calyapp.web.routing import Access, JsonObject, Profile
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.requests import LoginSchema, PasswordChangeSchema
from calyapp.web.schemas.responses import DoneSchema, PrincipalSchema, SessionSchema

_SESSION = SessionSchema()
_PRINCIPAL = PrincipalSchema()
_LOGIN = Operation(answer=in_json(SessionSchema), body=in_json(LoginSchema), refusals=(401, 403))
_LOGOUT = Operation(answer=in_json(DoneSchema))
_ME = Operation(answer=in_json(PrincipalSchema))
_CHANGE = Operation(answer=in_json(DoneSchema), body=in_json(PasswordChangeSchema))


class Auth:
    """The views under `/api/auth`."""

    def __init__(self, services: Services, failed_logins: FailedLogins) -> None:
        self._authentication = services.authentication
        self._failed_logins = failed_logins

    def login(self) -> JsonObject:
        """Signs in with an e-mail address and a password.

        The answer is the same for an unknown address, a wrong password and a suspended user.
        """
        body = validation.load(LoginSchema(), parameters.json_value(request))
        email = body["email"]
        self._failed_logins.refuse_if_too_many(email)
        # Verifies a password also for an unknown address, so that the time does not tell whether a user has it.
        sign_in = self._authentication.sign_in(email, body["password"], origin())
        if sign_in.user is None or sign_in.session is None:
            account = (sign_in.user.id, sign_in.user.client_id) if sign_in.user else (None, None)
            self._failed_logins.record(email, *account)
            raise AuthenticationError("The e-mail address or the password is wrong.")
        opened = {"token": sign_in.session.token, "expires_at": sign_in.session.expires_at, "user": sign_in.user}
        session: JsonObject = _SESSION.dump(opened)
        return session

    def logout(self) -> JsonObject:
        """Signs out: ends this session, not the user's other sessions."""
        self._authentication.sign_out(_signed_in_user(), origin())
        return {"success": True}

    def me(self) -> JsonObject:
        """Returns the user or API key that sends the request."""
        principal: Principal = g.principal
        name = "email" if principal.kind is PrincipalKind.USER else "name"
        shown: JsonObject = _PRINCIPAL.dump(
            {
                "kind": principal.kind,
                "id": principal.id,
                name: principal.name,
                "role": principal.role,
                "client_id": principal.client_id,
            }
        )
        return shown

    def password(self) -> JsonObject:
        """Changes the password, and ends the user's other sessions.

        A wrong current password counts as a failed login.
        """
        principal = _signed_in_user()
        body = validation.load(PasswordChangeSchema(), parameters.json_value(request))
        if weakness := passwords.weakness(body["new_password"]):
            raise ValidationError(f"newPassword {weakness}", {"newPassword": [weakness]})
        current, new = body["current_password"], body["new_password"]
        # Counted like logins, because a stolen session must not allow unlimited guesses.
        self._failed_logins.refuse_if_too_many(principal.name, principal.id, principal.client_id)
        if not self._authentication.change_password(principal, current, new, origin()):
            self._failed_logins.record(principal.name, principal.id, principal.client_id)
            error = "is wrong."
            raise ValidationError(f"currentPassword {error}", {"currentPassword": [error]})
        return {"success": True}


def blueprint(services: Services, counter: RateLimitWindows) -> Blueprint:
    """Returns the routes."""
    routes = Blueprint("auth", __name__, url_prefix="/api/auth")
    views = Auth(services, FailedLogins(counter, services.throttled_audit_log))
    signed_in: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    to_sign_in: dict[str, Any] = {"access": Access.PUBLIC, "limit": Profile.LOGIN, "operation": _LOGIN}
    routes.add_url_rule("/login", "login", views.login, methods=["POST"], **to_sign_in)
    routes.add_url_rule("/logout", "logout", views.logout, methods=["POST"], operation=_LOGOUT, **signed_in)
    routes.add_url_rule("/me", "me", views.me, operation=_ME, **signed_in)
    routes.add_url_rule("/password", "password", views.password, methods=["POST"], operation=_CHANGE, **signed_in)
    return routes


def _signed_in_user() -> Principal:
    """Returns the user of the session. Raises `AuthorizationError` for an API key."""
    principal: Principal = g.principal
    if principal.kind is not PrincipalKind.USER:
        raise AuthorizationError("An API key has no session and no password. Sign in as a user.")
    return principal
