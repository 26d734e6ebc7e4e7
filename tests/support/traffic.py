"""Sends deliveries at a rate, from several threads, and retries each until it is acknowledged.

Keeps every attempt. Imports nothing of the application.
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
"""Seconds before each attempt. After the last one the delivery stays unacknowledged."""

_ENDINGS = ("completed", "busy", "no-answer", "failed", "canceled", None)
"""The final status of calls, in Exotel's words; None for a call that stays open."""

_MAX_OPEN_CALLS = 20
_REPEATED_SHARE = 0.05
_HEARTBEAT_SHARE = 0.02


@dataclass(frozen=True, eq=False, slots=True)
class Delivery:
    """One delivery of Exotel. `path` includes the client's key. `marker` is unique."""

    client_id: str
    path: str
    route: str
    fields: dict[str, str]

    @property
    def marker(self) -> str:
        return self.fields["CustomField"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send a delivery. Without an answer `status` is None, and `failure` names the error."""

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
    """Sends `rate` deliveries a second for these tenants, from `start` to `stop`. It catches up after a delay.

    `kind` generates them: `deliveries` of all kinds, or `starts` only.
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
        self._choice_lock = threading.Lock()
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
        """Stops, and waits until every delivery due until now is acknowledged or given up."""
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
        while self._wait_until(due):
            with self._choice_lock:
                delivery, encoding = next(self._deliveries), self._rng.choice(ENCODINGS)
            self._send_until_acknowledged(connection, delivery, encoding, keep_alive=keep_alive)
            due += self._interval
        connection.close()

    def _wait_until(self, moment: float) -> bool:
        """Waits until then. Returns False if the traffic stops before."""
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
    """Generates the deliveries of many concurrent calls, each call's in order, with some repeats and heartbeats."""
    numbers = itertools.count(1)
    open_calls: list[Iterator[Delivery]] = []
    latest: list[Delivery] = []
    while True:
        tenant, number, draw = rng.choice(tenants), next(numbers), rng.random()
        if draw < _REPEATED_SHARE and latest:
            yield rng.choice(latest)
            continue
        if draw > 1 - _HEARTBEAT_SHARE:
            yield heartbeat(tenant, f"heartbeat-{number}")
            continue
        if len(open_calls) < _MAX_OPEN_CALLS:
            open_calls.append(whole_call(tenant, UUID(int=rng.getrandbits(128)).hex, rng.choice(_ENDINGS)))
        call = rng.choice(open_calls)
        delivery = next(call, None)
        if delivery is None:
            open_calls.remove(call)
            continue
        latest = [*latest[-100:], delivery]
        yield delivery


def starts(tenants: list[dict], rng: Random) -> Iterator[Delivery]:
    """Generates the first delivery of one call after another."""
    while True:
        yield next(whole_call(rng.choice(tenants), UUID(int=rng.getrandbits(128)).hex, None))


def heartbeat(tenant: dict, marker: str) -> Delivery:
    """Returns a heartbeat, which belongs to no call."""
    return _delivery(tenant, "heartbeat", marker, {"Status": "OK"})


def whole_call(tenant: dict, sid: str, ending: str | None) -> Iterator[Delivery]:
    """Generates the deliveries of one call, in order."""
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


# ---- Encodings: a repeat in another encoding is the same delivery ----

ENCODINGS = ("query", "form", "json")


def send(connection: HTTPConnection, delivery: Delivery, encoding: str) -> Attempt:
    """Sends the delivery once."""
    sent_at, began = time.time(), time.perf_counter()
    try:
        _request(connection, delivery, encoding)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except (OSError, HTTPException) as error:
        return Attempt(delivery, sent_at, time.perf_counter() - began, failure=type(error).__name__)
    return Attempt(delivery, sent_at, time.perf_counter() - began, answer.status, body)


def _request(connection: HTTPConnection, delivery: Delivery, encoding: str) -> None:
    if encoding == "query":
        connection.request("GET", f"{delivery.path}&{urlencode(delivery.fields)}")
    elif encoding == "form":
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", delivery.path, urlencode(delivery.fields), headers)
    else:
        connection.request("POST", delivery.path, json.dumps(delivery.fields), {"Content-Type": "application/json"})
