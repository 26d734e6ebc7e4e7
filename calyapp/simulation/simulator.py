"""Sends the deliveries of calls over HTTP, and retries them as Exotel does.

A seed decides repeats, losses and order beforehand. Only timing and the answers differ between two runs.
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
from calyapp.simulation import scenarios, wire
from calyapp.simulation.scenarios import Call, Delivery, Scenario

_ANSWER_TIMEOUT_SECONDS = 15.0
_RETRY_AT_SECONDS = (300.0, 900.0)
"""Seconds from the first attempt to each retry: docs/exotel-protocol.md, section 4.5."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send a delivery: the status of the answer (None without an answer), and the time it took."""

    delivery: Delivery
    number: int
    status: int | None
    milliseconds: float
    stream_call_id: str | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether Exotel regards the delivery as delivered."""
        return self.status is not None and 200 <= self.status < 300


def calls(count: int, number: str, passthru_url: str, now: datetime, rng: Random) -> list[Call]:
    """Returns `count` calls, of each scenario in turn, that began within the hour before `now`."""
    kinds = list(Scenario)
    return [
        scenarios.call(kinds[n % len(kinds)], number, passthru_url, now - timedelta(seconds=rng.randrange(3600)), rng)
        for n in range(count)
    ]


def schedule(
    simulated: Iterable[Call], rng: Random, *, shuffle: bool, duplicate: float, drop: float
) -> list[list[Delivery]]:
    """Returns lists of deliveries: those of one list are sent in order, and the lists concurrently.

    `drop` and `duplicate` are shares of all deliveries, 0.0 to 1.0. `shuffle` makes a list of each delivery.
    """
    in_order = [list(_with_losses_and_repeats(call.deliveries, rng, duplicate, drop)) for call in simulated]
    if not shuffle:
        return in_order
    shuffled = [[delivery] for deliveries in in_order for delivery in deliveries]
    rng.shuffle(shuffled)
    return shuffled


def percentile(milliseconds: Iterable[float], share: float) -> float | None:
    """Returns the percentile of the answer times by nearest rank, or None without answers. `share` is 0.0 to 1.0."""
    ordered = sorted(milliseconds)
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 1) if ordered else None


@dataclass(frozen=True, slots=True)
class Exotel:
    """Sends deliveries. `compress` divides the waiting times between attempts."""

    base_url: str
    key: str
    concurrency: int = 1
    compress: float = 1.0
    sleep: Callable[[float], object] = time.sleep

    def play(self, scheduled: Sequence[Sequence[Delivery]]) -> Iterator[Attempt]:
        """Yields every attempt when it ends. Deliveries that fail are retried after all others were attempted."""
        waited = 0.0
        with ThreadPoolExecutor(self.concurrency) as senders:
            for number, due_at in enumerate((0.0, *_RETRY_AT_SECONDS), start=1):
                self.sleep((due_at - waited) / self.compress)
                waited, failed = due_at, []
                for attempts in senders.map(lambda deliveries, n=number: self._send_all(deliveries, n), scheduled):
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
        milliseconds = (time.perf_counter() - started) * 1000
        stream_call_id = _stream_call_id(body) if delivery.route is Route.CALL_START else None
        return Attempt(delivery, number, status, milliseconds, stream_call_id)

    def _exchange(self, delivery: Delivery) -> tuple[int | None, bytes]:
        request = wire.request(delivery)
        base = urlsplit(self.base_url)
        query = "&".join(part for part in (urlencode({"key": self.key}), request.query) if part)
        path = f"{base.path.rstrip('/')}/webhooks/exotel/{delivery.route}?{query}"
        # A new connection for each delivery: one that is kept open fails whenever the server recycles a worker.
        with closing(_connection(base.scheme, base.netloc)) as connection:
            try:
                connection.request(delivery.method, path, request.body, request.headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                return None, b""


def _with_losses_and_repeats(
    deliveries: Iterable[Delivery], rng: Random, duplicate: float, drop: float
) -> Iterator[Delivery]:
    for delivery in deliveries:
        if rng.random() >= drop:
            yield delivery
            if rng.random() < duplicate:
                yield delivery


def _connection(scheme: str, address: str) -> http.client.HTTPConnection:
    connection_class = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    return connection_class(address, timeout=_ANSWER_TIMEOUT_SECONDS)


def _stream_call_id(body: bytes) -> str | None:
    """Returns the call id in the stream's URL, or None if the answer has none."""
    try:
        return parse_qs(urlsplit(str(json.loads(body)["url"])).query)["callId"][0]
    except (ValueError, KeyError, TypeError):
        return None
