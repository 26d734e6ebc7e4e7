"""Exotel's deliveries at a pace, from many threads at once, each tried again until it is acknowledged.

Remembers every attempt. Knows nothing of the inside.
"""

import itertools
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from random import Random
from urllib.parse import urlencode
from uuid import UUID

from running_server import Server, webhook

_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.5, *[1.0] * 60)
"""Seconds before each attempt. After them all, the delivery stays unacknowledged."""

_ENDINGS = ("completed", "busy", "no-answer", "failed", "canceled", None)
"""How calls end, in Exotel's words; None stays open."""

_OPEN_CALLS = 20
_REPEATED = 0.05
_HEARTBEATS = 0.02


@dataclass(frozen=True, eq=False, slots=True)
class Delivery:
    """What Exotel has to say once. `path` carries the client's key; no two have the same `marker`."""

    client_id: str
    path: str
    route: str
    fields: dict[str, str]

    @property
    def marker(self) -> str:
        return self.fields["CustomField"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery sent once. Without an answer `status` is None, and `failure` names what happened to the connection."""

    delivery: Delivery
    sent_at: float  # seconds since the epoch
    seconds: float
    status: int | None = None
    body: dict = field(default_factory=dict)
    failure: str | None = None

    @property
    def acknowledged(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def timed_out(self) -> bool:
        return self.failure == "TimeoutError"


class Traffic:
    """`rate` deliveries a second for these tenants, from `start` to `stop`; what comes late is caught up with.

    `kind` says which: `deliveries` of all kinds, or `starts` only.
    """

    def __init__(
        self,
        server: Server,
        tenants: list[dict],
        *,
        rate: float,
        threads: int = 16,
        seed: int = 0,
        kind: Callable[[list[dict], Random], Iterator[Delivery]] | None = None,
    ) -> None:
        self.attempts: list[Attempt] = []
        self.threads = threads
        self._server = server
        self._interval = threads / rate
        self._rng = Random(seed)
        self._deliveries = (kind or deliveries)(tenants, self._rng)
        self._choosing = threading.Lock()
        self._ended_at = math.inf
        self._stopping = threading.Event()
        self._senders = ThreadPoolExecutor(threads, "traffic")
        self._running: list[Future[None]] = []

    def start(self) -> None:
        began = time.monotonic()
        for number in range(self.threads):
            first = began + self._interval * number / self.threads
            self._running.append(self._senders.submit(self._send_at_pace, first, keep_alive=number % 2 == 0))

    def stop(self) -> None:
        """Returns when everything that was due until now is acknowledged or given up."""
        self._ended_at = time.monotonic()
        self._stopping.set()
        self._senders.shutdown()
        for sender in self._running:
            sender.result()

    @property
    def sent(self) -> set[Delivery]:
        return {attempt.delivery for attempt in self.attempts}

    @property
    def acknowledged(self) -> set[Delivery]:
        return {attempt.delivery for attempt in self.attempts if attempt.acknowledged}

    def _send_at_pace(self, due: float, *, keep_alive: bool) -> None:
        connection = self._server.connect()
        while self._comes(due):
            with self._choosing:
                delivery, encoding = next(self._deliveries), self._rng.choice(ENCODINGS)
            self._send_until_acknowledged(connection, delivery, encoding, keep_alive=keep_alive)
            due += self._interval
        connection.close()

    def _comes(self, moment: float) -> bool:
        """Wait until then. False if the traffic ends before."""
        self._stopping.wait(max(0.0, moment - time.monotonic()))
        return moment < self._ended_at

    def _send_until_acknowledged(
        self, connection: HTTPConnection, delivery: Delivery, encoding: str, *, keep_alive: bool
    ) -> None:
        for pause in _PAUSES:
            time.sleep(pause)
            attempt = send(connection, delivery, encoding)
            self.attempts.append(attempt)
            if attempt.failure or not keep_alive:
                connection.close()
            if attempt.acknowledged:
                return


def deliveries(tenants: list[dict], rng: Random) -> Iterator[Delivery]:
    """Of many calls at the same time, each call's in order; now and then one that came already, or a heartbeat."""
    numbers = itertools.count(1)
    open_calls: list[Iterator[Delivery]] = []
    latest: list[Delivery] = []
    while True:
        tenant, number, luck = rng.choice(tenants), next(numbers), rng.random()
        if luck < _REPEATED and latest:
            yield rng.choice(latest)
            continue
        if luck > 1 - _HEARTBEATS:
            yield heartbeat(tenant, f"heartbeat-{number}")
            continue
        if len(open_calls) < _OPEN_CALLS:
            open_calls.append(whole_call(tenant, UUID(int=rng.getrandbits(128)).hex, rng.choice(_ENDINGS)))
        call = rng.choice(open_calls)
        following = next(call, None)
        if following is None:
            open_calls.remove(call)
            continue
        latest = [*latest[-100:], following]
        yield following


def starts(tenants: list[dict], rng: Random) -> Iterator[Delivery]:
    """Call after call that begins, and no other news of it."""
    while True:
        yield next(whole_call(rng.choice(tenants), UUID(int=rng.getrandbits(128)).hex, None))


def heartbeat(tenant: dict, marker: str) -> Delivery:
    """The one that belongs to no call."""
    return _delivery(tenant, "heartbeat", marker, {"Status": "OK"})


def whole_call(tenant: dict, sid: str, ending: str | None) -> Iterator[Delivery]:
    """The deliveries of one call, in order."""
    steps: list[tuple[str, dict[str, str]]] = [
        ("call-start", {"From": "09876543210", "To": tenant["numbers"][0], "Direction": "incoming"}),
        ("call-status", {"CallStatus": "ringing"}),
        ("call-status", {"CallStatus": "in-progress"}),
        ("passthru", {"digits": '"1"'}),
    ]
    if ending:
        steps += [
            ("call-status", {"CallStatus": ending, "EventType": "terminal"}),
            ("call-end", {"CallStatus": ending}),
            ("recording", {"RecordingUrl": f"https://recordings.exotel.com/{sid}.mp3"}),
        ]
    for number, (route, fields) in enumerate(steps):
        yield _delivery(tenant, route, f"{sid}-{number}", {"CallSid": sid, **fields})


def _delivery(tenant: dict, route: str, marker: str, fields: dict[str, str]) -> Delivery:
    return Delivery(tenant["id"], webhook(tenant, route), route, {**fields, "CustomField": marker})


# ---- On the wire: the same delivery in several encodings is the same ----

ENCODINGS = ("query", "form", "json")


def send(connection: HTTPConnection, delivery: Delivery, encoding: str) -> Attempt:
    """Send it once."""
    sent_at, began = time.time(), time.perf_counter()
    try:
        _request(connection, delivery, encoding)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except (OSError, HTTPException) as failure:
        return Attempt(delivery, sent_at, time.perf_counter() - began, failure=type(failure).__name__)
    return Attempt(delivery, sent_at, time.perf_counter() - began, answer.status, body)


def _request(connection: HTTPConnection, delivery: Delivery, encoding: str) -> None:
    if encoding == "query":
        connection.request("GET", f"{delivery.path}&{urlencode(delivery.fields)}")
    elif encoding == "form":
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", delivery.path, urlencode(delivery.fields), headers)
    else:
        connection.request("POST", delivery.path, json.dumps(delivery.fields), {"Content-Type": "application/json"})
