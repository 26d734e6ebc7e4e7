"""What every URL rule must say of itself: who may use it, and how often."""

from enum import StrEnum
from typing import Any

from werkzeug.routing import Rule


class Access(StrEnum):
    """Who may use a route."""

    PUBLIC = "public"
    WEBHOOK_KEY = "webhook key"
    TRUSTED_NETWORK = "trusted network"


class Profile(StrEnum):
    """How often a route may be used; the numbers are settings (`RATELIMIT_…`)."""

    LOGIN = "login"
    API = "api"
    WEBHOOK = "webhook"
    UPLOAD = "upload"


class GuardedRule(Rule):
    """A URL rule with its access and its limit: `add_url_rule(…, access=Access.PUBLIC, limit=Profile.API)`."""

    def __init__(
        self, *arguments: Any, access: Access | None = None, limit: Profile | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.access = access
        self.limit = limit
