"""Limits the rate of requests, in four profiles.

Deliveries are counted by client and route, signed-in requests by user or API key, and all others by address.
"""

import math

from flask import Flask, Response, g, request
from flask_limiter import Limiter
from limits import RateLimitItem, parse

from calyapp import clock, metrics
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.config import Settings
from calyapp.errors import RateLimitError
from calyapp.services import Services
from calyapp.web.pipeline.proxy import client_address, client_neighbourhood
from calyapp.web.pipeline.rate_limit_window import REDIS_OPTIONS, RateLimitWindows, WindowState
from calyapp.web.pipeline.request_audit import request_entry
from calyapp.web.routing import GuardedRule, Profile

_FLOOD_FACTOR = 10  # a client's deliveries above this multiple of the limit are refused: a fault or an attack


def counter(app: Flask, settings: Settings) -> RateLimitWindows:
    """Returns the windows that count for the profiles, unknown tokens and failed logins."""
    return RateLimitWindows(_limiter(app, settings))


def install(app: Flask, services: Services, counter: RateLimitWindows) -> None:
    """Installs the layer after the guard identifies the sender and before it refuses, so that refusals count too."""
    limits = _RateLimits(services, counter)
    app.before_request(limits.count)
    app.after_request(limits.add_headers)


def _limiter(app: Flask, settings: Settings) -> Limiter:
    uri = settings.ratelimit_storage_uri.reveal()
    limiter = Limiter(
        key_func=lambda: client_address() or "",
        storage_uri=uri,
        storage_options={} if uri.startswith("memory:") else REDIS_OPTIONS,  # type: ignore[arg-type]  # too narrow there
        strategy="fixed-window",
        key_prefix="caly",
    )
    limiter.init_app(app)
    return limiter


class _RateLimits:
    def __init__(self, services: Services, counter: RateLimitWindows) -> None:
        self._throttled_audit_log = services.throttled_audit_log
        self._counter = counter
        settings = services.settings
        # Parsed at start, so that an invalid limit stops the start. The library would log it and limit nothing.
        self._limits: dict[Profile, RateLimitItem] = {
            Profile.LOGIN: parse(settings.ratelimit_login),
            Profile.API: parse(settings.ratelimit_api),
            Profile.WEBHOOK: parse(settings.ratelimit_webhook),
            Profile.UPLOAD: parse(settings.ratelimit_upload),
        }

    def count(self) -> None:
        """Counts the request. Above the limit raises `RateLimitError`, but marks a client's delivery to be deferred."""
        g.hits, g.is_over_limit = None, False
        rule = request.url_rule
        if not isinstance(rule, GuardedRule) or rule.limit is None or _is_foreign_form():
            return
        limit, key = self._limits[rule.limit], (rule.limit, *_sender(rule))
        g.limit, g.hits = limit, self._counter.hit(limit, *key)
        metrics.RATE_LIMIT_HITS.labels(rule.limit).inc()
        if g.hits.count == limit.amount + 1:  # exactly one worker sees this count, once a window
            entry = _entry(EventType.RATE_LIMIT_EXCEEDED, "Rate limit exceeded", rule.limit, limit)
            self._throttled_audit_log.record(("limit", *key), entry)
        if g.hits.count > limit.amount:
            metrics.RATE_LIMIT_EXCEEDED.labels(rule.limit).inc()
            g.is_over_limit = True
            if not _is_client_delivery(rule) or g.hits.count > limit.amount * _FLOOD_FACTOR:
                if rule.limit is Profile.LOGIN:  # so that a query for failed logins finds refused ones too
                    entry = _entry(EventType.LOGIN_FAILURE, "Too many logins from this address", rule.limit, limit)
                    self._throttled_audit_log.record(("login refused", *key), entry)
                raise refusal(limit, g.hits)

    def add_headers(self, response: Response) -> Response:
        """Adds the state of the window to the answer."""
        if hits := g.get("hits"):
            response.headers["X-RateLimit-Limit"] = str(g.limit.amount)
            response.headers["X-RateLimit-Remaining"] = str(max(0, g.limit.amount - hits.count))
            response.headers["X-RateLimit-Reset"] = str(math.ceil(hits.resets_at))
        return response


def _is_foreign_form() -> bool:
    """Returns whether a page of another origin may have sent the login. Such a page cannot send JSON, which the route
    requires, and must not use up the login attempts of a visitor's address.
    """
    return request.endpoint == "auth.login" and not request.is_json


def _is_client_delivery(rule: GuardedRule) -> bool:
    """Returns whether this is a delivery of a known client. It is accepted above the limit, because Exotel drops what
    is refused (docs/exotel-protocol.md, section 4.5).
    """
    return bool(g.client_id) and rule.limit is Profile.WEBHOOK


def refusal(limit: RateLimitItem, state: WindowState) -> RateLimitError:
    """Returns the error for a request above the limit."""
    return RateLimitError(
        f"More than {limit.amount} requests in {limit.get_expiry()} seconds",
        retry_after=max(1, math.ceil(state.resets_at - clock.now().timestamp())),
    )


def _sender(rule: GuardedRule) -> tuple[str, ...]:
    """Returns the part of the window's key that says whose requests it counts."""
    if _is_client_delivery(rule):
        return "client", str(g.client_id), rule.endpoint
    if g.principal:
        return "principal", str(g.principal.id)
    return "address", client_neighbourhood()


def _entry(event_type: EventType, description: str, profile: Profile, limit: RateLimitItem) -> Entry:
    metadata = {"profile": profile.value, "limit": limit.amount, "seconds": limit.get_expiry()}
    return request_entry(event_type, description, status="failure", metadata=metadata)
