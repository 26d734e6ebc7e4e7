"""What every URL rule declares: who may use it, how often, and what it accepts and returns."""

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
    """Which rate limit applies to a route. The limits are settings (`RATELIMIT_…`)."""

    LOGIN = "login"
    API = "api"
    WEBHOOK = "webhook"
    UPLOAD = "upload"


ANY_ROLE = frozenset(Role)

JsonObject = dict[str, Any]
"""The JSON object that a view returns."""


class GuardedRule(Rule):
    """A URL rule with its access, rate limit and description.

    `add_url_rule(…, access=Access.PUBLIC, limit=Profile.API, operation=Operation(answer=in_json(SomeSchema)))`.
    The first line of the view's docstring is the summary in `/openapi.json`. `roles` are those that
    `Access.SIGNED_IN` admits; the default is all. `max_bytes` is the largest body; None for `body_limit.MAX_BYTES`.
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
