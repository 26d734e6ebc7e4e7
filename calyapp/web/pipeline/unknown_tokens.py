"""How often an address may come with tokens that nobody has: each is a question to the database, before other limits.

Whoever came with a good one stays known to the worker, so that a stranger in their network does not shut them out: they
are asked about each time all the same.
"""

from flask import g
from limits import RateLimitItemPerMinute

from calyapp.access import tokens
from calyapp.web.pipeline.proxy import client_neighbourhood
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.pipeline.rate_limits import refusal

LIMIT = RateLimitItemPerMinute(100)
_MAX_KNOWN = 10_000


class UnknownTokens:
    """Counts them by address, of all workers together."""

    def __init__(self, counter: RateLimitWindows) -> None:
        self._counter = counter
        self._known: set[bytes] = set()

    def refuse_if_too_many(self, token: str) -> None:
        """Raises `RateLimitError`, unless the token was good before."""
        if tokens.digest(token) in self._known:
            return
        hits = self._counter.peek(LIMIT, *_key())
        if hits.count >= LIMIT.amount:
            g.limit, g.hits = LIMIT, hits
            raise refusal(LIMIT, hits)

    def note(self, token: str, *, is_good: bool) -> None:
        """Remember that somebody has it, or count that nobody does; what has not a token's form asked nothing."""
        if is_good:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known.add(tokens.digest(token))
        elif tokens.kind_of(token):
            self._known.discard(tokens.digest(token))
            self._counter.hit(LIMIT, *_key())


def _key() -> tuple[str, str]:
    return "unknown-token", client_neighbourhood()
