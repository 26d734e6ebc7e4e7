"""How often one may come: four profiles.

Deliveries are counted by client and route, who is signed in by themselves, and everybody else by address.
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
from calyapp.web.routing import GuardedRule, Profile

_FLOOD = 10  # times its limit: more than that is no traffic, but a fault or an attack


def counter(app: Flask, settings: Settings) -> RateLimitWindows:
    """For the profiles, and for what else is limited: unknown tokens by the guard, failed logins by their view."""
    return RateLimitWindows(_limiter(app, settings))


def install(app: Flask, services: Services, counter: RateLimitWindows) -> None:
    """After the guard has looked who it is, and before it turns anybody away: refusals are limited too."""
    limits = _RateLimits(services, counter)
    app.before_request(limits.count)
    app.after_request(limits.show)


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
        # Parsed here, so that an unclear limit refuses to start; the library would log it and limit nothing.
        self._limits: dict[Profile, RateLimitItem] = {
            Profile.LOGIN: parse(settings.ratelimit_login),
            Profile.API: parse(settings.ratelimit_api),
            Profile.WEBHOOK: parse(settings.ratelimit_webhook),
            Profile.UPLOAD: parse(settings.ratelimit_upload),
        }

    def count(self) -> None:
        """Raises `RateLimitError` for one too many, unless it is a client's delivery: that can wait, on the spool."""
        g.hits, g.is_over_limit = None, False
        rule = request.url_rule
        if not isinstance(rule, GuardedRule) or rule.limit is None or _is_no_attempt():
            return
        limit, key = self._limits[rule.limit], (rule.limit, *_whom(rule))
        g.limit, g.hits = limit, self._counter.hit(limit, *key)
        metrics.RATE_LIMIT_HITS.labels(rule.limit).inc()
        if g.hits.count == limit.amount + 1:  # the first too many, of all workers: once a window
            entry = _entry(EventType.RATE_LIMIT_EXCEEDED, "Rate limit exceeded", rule.limit, limit)
            self._throttled_audit_log.record(("limit", *key), entry)
        if g.hits.count > limit.amount:
            metrics.RATE_LIMIT_EXCEEDED.labels(rule.limit).inc()
            g.is_over_limit = True
            if not _can_wait(rule) or g.hits.count > limit.amount * _FLOOD:
                if rule.limit is Profile.LOGIN:  # each of these is a failed login to who asks the trail for them
                    entry = _entry(EventType.LOGIN_FAILURE, "Too many logins from this address", rule.limit, limit)
                    self._throttled_audit_log.record(("login refused", *key), entry)
                raise refusal(limit, g.hits)

    def show(self, response: Response) -> Response:
        """Tell the caller how the window stands."""
        if hits := g.get("hits"):
            response.headers["X-RateLimit-Limit"] = str(g.limit.amount)
            response.headers["X-RateLimit-Remaining"] = str(max(0, g.limit.amount - hits.count))
            response.headers["X-RateLimit-Reset"] = str(math.ceil(hits.resets_at))
        return response


def _is_no_attempt() -> bool:
    """The API takes JSON only, which no foreign page can send. What one can uses nobody's attempts up."""
    return request.endpoint == "auth.login" and not request.is_json


def _can_wait(rule: GuardedRule) -> bool:
    """Exotel drops what is refused, so a known client's deliveries are taken all the same."""
    return bool(g.client_id) and rule.limit is Profile.WEBHOOK


def refusal(limit: RateLimitItem, hits: WindowState) -> RateLimitError:
    """What is said to one too many."""
    return RateLimitError(
        f"More than {limit.amount} requests in {limit.get_expiry()} seconds",
        retry_after=max(1, math.ceil(hits.resets_at - clock.now().timestamp())),
    )


def _whom(rule: GuardedRule) -> tuple[str, ...]:
    """By whom and where it is counted."""
    if _can_wait(rule):
        return "client", str(g.client_id), rule.endpoint
    if g.principal:
        return "principal", str(g.principal.id)
    return "address", client_neighbourhood()


def _entry(event: EventType, description: str, profile: Profile, limit: RateLimitItem) -> Entry:
    return Entry.now(
        event,
        description,
        status="failure",
        client_id=g.client_id,
        resource="route",
        resource_id=request.url_rule.rule if request.url_rule else None,
        ip_address=client_address(),
        request_id=g.request_id,
        metadata={"profile": profile.value, "limit": limit.amount, "seconds": limit.get_expiry()},
    )
