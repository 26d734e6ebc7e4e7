"""What every URL rule must say of itself: who may use it, how often, and what it takes and answers."""

from enum import StrEnum
from typing import Any

from werkzeug.routing import Rule

from calyapp.access.principal import Role
from calyapp.web.schemas.operations import Operation


class Access(StrEnum):
    """Who may use a route."""

    PUBLIC = "public"
    WEBHOOK_KEY = "webhook key"
    TRUSTED_NETWORK = "trusted network or admin"
    SIGNED_IN = "signed in"


class Profile(StrEnum):
    """How often a route may be used; the numbers are settings (`RATELIMIT_…`)."""

    LOGIN = "login"
    API = "api"
    WEBHOOK = "webhook"
    UPLOAD = "upload"


ANY_ROLE = frozenset(Role)


class GuardedRule(Rule):
    """A URL rule with its access, its limit and its description.

    `add_url_rule(…, access=Access.PUBLIC, limit=Profile.API, operation=Operation(answer=in_json(SomeSchema)))`;
    the first line of the view's docstring is its title at `/openapi.json`. `roles` are those that
    `Access.SIGNED_IN` lets in; all of them unless told. `max_bytes` is how large a body may be; None for what
    `body_limit` says.
    """

    def __init__(
        self,
        *arguments: Any,
        access: Access | None = None,
        roles: frozenset[Role] = ANY_ROLE,
        limit: Profile | None = None,
        operation: Operation | None = None,
        max_bytes: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.access = access
        self.roles = roles
        self.limit = limit
        self.operation = operation
        self.max_bytes = max_bytes
