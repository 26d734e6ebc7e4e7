"""Limits how often an address may send unknown tokens, because each costs a query before other limits apply.

A worker remembers the tokens that were valid, and does not apply this limit to them: an attacker in the same network
cannot lock out its users. A remembered token is still looked up at each request.
"""

from flask import g
from limits import RateLimitItemPerMinute

from calyapp.access import tokens
from calyapp.web.pipeline.proxy import client_neighbourhood
from calyapp.web.pipeline.rate_limit_window import RateLimitWindows
from calyapp.web.pipeline.rate_limits import refusal

LIMIT = RateLimitItemPerMinute(100)
_MAX_REMEMBERED = 10_000


class UnknownTokens:
    """Counts unknown tokens by address, for all workers together."""

    def __init__(self, counter: RateLimitWindows) -> None:
        self._counter = counter
        self._remembered: set[bytes] = set()

    def refuse_if_too_many(self, token: str) -> None:
        """Raises `RateLimitError` if the address sent too many, unless this token was valid before."""
        if tokens.digest(token) in self._remembered:
            return
        state = self._counter.peek(LIMIT, *_key())
        if state.count >= LIMIT.amount:
            g.limit, g.hits = LIMIT, state
            raise refusal(LIMIT, state)

    def record(self, token: str, *, is_valid: bool) -> None:
        """Remembers a valid token, or counts an unknown one unless its form is invalid, which cost no query."""
        if is_valid:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered.add(tokens.digest(token))
        elif tokens.kind_of(token):
            self._remembered.discard(tokens.digest(token))
            self._counter.hit(LIMIT, *_key())


def _key() -> tuple[str, str]:
    return "unknown-token", client_neighbourhood()
