"""Exotel over real HTTP: sends the deliveries of calls to one base URL, and tries again by Exotel's rule.

Repeats, losses and disorder are decided beforehand by a seed; only the server and the clock decide the rest.
"""

import http.client
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from urllib.parse import parse_qs, urlencode, urlsplit

from calyapp.calls.event import Route
from calyapp.simulation import flows, wire
from calyapp.simulation.flows import Call, Delivery, Flow

PATIENCE_SECONDS = 15.0
RETRIES_SECONDS = (300.0, 900.0)
"""After the first attempt: Exotel tries so late again, and then no more (section 4)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery sent once: its answer's status (None without an answer), and how long that took."""

    delivery: Delivery
    number: int
    status: int | None
    milliseconds: float
    stream_call_id: str | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether Exotel takes it for delivered."""
        return self.status is not None and 200 <= self.status < 300


def calls(count: int, number: str, passthru_url: str, now: datetime, chance: Random) -> list[Call]:
    """So many calls, of every flow in turn, that began within the hour before `now`."""
    turns = list(Flow)
    return [
        flows.call(turns[n % len(turns)], number, passthru_url, now - timedelta(seconds=chance.randrange(3600)), chance)
        for n in range(count)
    ]


def schedule(
    played: Iterable[Call], chance: Random, *, shuffle: bool, duplicate: float, drop: float
) -> list[list[Delivery]]:
    """What is sent in which order: each list by itself one after the other, the lists at the same time.

    `drop` and `duplicate` are shares of all deliveries. Shuffled, every delivery is a list of its own.
    """
    in_order = [list(_sent(call.deliveries, chance, duplicate, drop)) for call in played]
    if not shuffle:
        return in_order
    alone = [[delivery] for deliveries in in_order for delivery in deliveries]
    chance.shuffle(alone)
    return alone


def percentile(milliseconds: Iterable[float], share: float) -> float | None:
    """The time within which this share of answers came, by nearest rank; None without answers."""
    ordered = sorted(milliseconds)
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 1) if ordered else None


@dataclass(frozen=True, slots=True)
class Exotel:
    """The sender. `compress` is how many times faster than in life the time between attempts passes."""

    base_url: str
    key: str
    concurrency: int = 1
    compress: float = 1.0
    sleep: Callable[[float], object] = time.sleep

    def play(self, scheduled: Sequence[Sequence[Delivery]]) -> Iterator[Attempt]:
        """Every attempt, as it ends. What was not acknowledged is tried again, after all that was due before."""
        waited = 0.0
        with ThreadPoolExecutor(self.concurrency) as callers:
            for number, due in enumerate((0.0, *RETRIES_SECONDS), start=1):
                self.sleep((due - waited) / self.compress)
                waited, failed = due, []
                for attempts in callers.map(lambda several, n=number: self._send_all(several, n), scheduled):
                    failed += [attempt.delivery for attempt in attempts if not attempt.acknowledged]
                    yield from attempts
                scheduled = [[delivery] for delivery in failed]
                if not scheduled:
                    return

    def _send_all(self, deliveries: Sequence[Delivery], number: int) -> list[Attempt]:
        return [self._send(delivery, number) for delivery in deliveries]

    def _send(self, delivery: Delivery, number: int) -> Attempt:
        started = time.perf_counter()
        status, body = self._exchange(delivery)
        taken = (time.perf_counter() - started) * 1000
        stream = _stream_call_id(body) if delivery.route is Route.CALL_START else None
        return Attempt(delivery, number, status, taken, stream)

    def _exchange(self, delivery: Delivery) -> tuple[int | None, bytes]:
        request = wire.request(delivery)
        base = urlsplit(self.base_url)
        query = "&".join(part for part in (urlencode({"key": self.key}), request.query) if part)
        path = f"{base.path.rstrip('/')}/webhooks/exotel/{delivery.route}?{query}"
        # A connection of its own for each: one kept open would fail by itself when the server recycles a worker.
        with closing(_connection(base.scheme, base.netloc)) as connection:
            try:
                connection.request(delivery.method, path, request.body, request.headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                return None, b""


def _sent(deliveries: Iterable[Delivery], chance: Random, duplicate: float, drop: float) -> Iterator[Delivery]:
    for delivery in deliveries:
        if chance.random() >= drop:
            yield delivery
            if chance.random() < duplicate:
                yield delivery


def _connection(scheme: str, address: str) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    return kind(address, timeout=PATIENCE_SECONDS)


def _stream_call_id(body: bytes) -> str | None:
    """The call id in the stream's address, None if the answer has none."""
    try:
        return parse_qs(urlsplit(str(json.loads(body)["url"])).query)["callId"][0]
    except (ValueError, KeyError, TypeError):
        return None
