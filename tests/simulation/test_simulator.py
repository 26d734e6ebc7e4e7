import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import pytest

from calyapp.calls.event import Route
from calyapp.simulation import simulator
from calyapp.simulation.scenarios import Delivery, Scenario
from calyapp.simulation.simulator import Exotel, percentile

NOW = datetime(2026, 7, 31, 12, 0, tzinfo=UTC)


def simulated(count: int = 16, seed: int = 1):
    return simulator.calls(count, "+918047112345", "http://here/passthru?key=k", NOW, Random(seed))


def scheduled(count: int = 16, seed: int = 1, *, shuffle=False, duplicate=0.0, drop=0.0) -> list[list[Delivery]]:
    return simulator.schedule(simulated(count, seed), Random(seed), shuffle=shuffle, duplicate=duplicate, drop=drop)


def flat(lists: list[list[Delivery]]) -> list[Delivery]:
    return [delivery for deliveries in lists for delivery in deliveries]


def delivery(name: str, route: Route = Route.PASSTHRU) -> Delivery:
    return Delivery(name, route, "GET", None, (("CallSid", name),))


class Listener:
    """A server that answers each CallSid with its list of statuses, then with 200. It keeps the requested paths."""

    def __init__(self, body: bytes) -> None:
        self.paths: list[str] = []
        self.statuses: dict[str, list[int]] = defaultdict(list)
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                listener.paths.append(self.path)
                statuses = listener.statuses[dict(parse_qsl(urlsplit(self.path).query))["CallSid"]]
                self.send_response(statuses.pop(0) if statuses else 200)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def listen():
    """`listen(body)` returns a `Listener`, which stops after the test."""
    listeners = []

    def start(body: bytes = b"{}") -> Listener:
        listener = Listener(body)
        thread = Thread(target=listener.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        listeners.append((listener, thread))
        return listener

    yield start
    for listener, thread in listeners:
        listener.server.shutdown()
        thread.join()
        listener.server.server_close()


class TestCalls:
    def test_have_every_scenario_in_turn(self):
        assert Counter(call.scenario for call in simulated(16)) == dict.fromkeys(Scenario, 2)

    def test_depend_on_the_seed_only(self):
        assert simulated(seed=3) == simulated(seed=3)
        assert len({call.call_sid for call in simulated(50)}) == 50


class TestSchedule:
    def test_keeps_the_order_of_each_call_by_default(self):
        assert scheduled() == [list(call.deliveries) for call in simulated()]

    def test_shuffles_deliveries_across_calls(self):
        shuffled = scheduled(shuffle=True)

        assert Counter(flat(shuffled)) == Counter(flat(scheduled()))
        assert flat(shuffled) != flat(scheduled())
        assert {len(deliveries) for deliveries in shuffled} == {1}

    def test_repeats_a_share(self):
        times = Counter(Counter(flat(scheduled(400, duplicate=0.2))).values())

        assert set(times) == {1, 2}
        assert 0.15 < times[2] / times.total() < 0.25

    def test_drops_a_share(self):
        assert 0.85 < len(flat(scheduled(400, drop=0.1))) / len(flat(scheduled(400))) < 0.95
        assert flat(scheduled(drop=1.0)) == []

    def test_depends_on_the_seed_only(self):
        options = {"shuffle": True, "duplicate": 0.2, "drop": 0.1}

        assert scheduled(seed=3, **options) == scheduled(seed=3, **options)


class TestExotel:
    def test_sends_to_the_base_url_with_the_key(self, listen):
        listener = listen()

        (attempt,) = Exotel(listener.url + "/below/", "cwk_canary").play([[delivery("s1")]])

        assert listener.paths == ["/below/webhooks/exotel/passthru?key=cwk_canary&CallSid=s1"]
        assert (attempt.number, attempt.status, attempt.acknowledged) == (1, 200, True)

    def test_retries_after_5_and_after_15_minutes(self, listen):
        listener, waited = listen(), []
        listener.statuses |= {"once": [503], "for ever": [500, 302, 404]}

        exotel = Exotel(listener.url, "k", compress=60, sleep=waited.append)
        attempts = list(exotel.play([[delivery("fine"), delivery("once")], [delivery("for ever")]]))

        results = sorted((attempt.delivery.call_sid, attempt.number, attempt.status) for attempt in attempts)
        assert results == [
            ("fine", 1, 200),
            *[("for ever", 1, 500), ("for ever", 2, 302), ("for ever", 3, 404)],
            *[("once", 1, 503), ("once", 2, 200)],
        ]
        assert waited == [0, 5, 10]

    def test_follows_no_redirect(self, listen):
        listener = listen()
        listener.statuses["s1"] = [302] * 3

        list(Exotel(listener.url, "k", sleep=lambda _: None).play([[delivery("s1")]]))

        assert {urlsplit(path).path for path in listener.paths} == {"/webhooks/exotel/passthru"}

    def test_treats_a_missing_answer_as_a_failure(self, listen):
        listener = listen()
        listener.server.server_close()

        attempts = list(Exotel(listener.url, "k", sleep=lambda _: None).play([[delivery("s1")]]))

        assert [(attempt.number, attempt.status, attempt.acknowledged) for attempt in attempts] == [
            (number, None, False) for number in (1, 2, 3)
        ]

    def test_reads_the_call_id_in_the_answer_to_a_call_start(self, listen):
        listener = listen(json.dumps({"url": "wss://media/audio?callId=c1&token=t"}).encode())

        attempts = Exotel(listener.url, "k").play([[delivery("s1", Route.CALL_START), delivery("s2")]])

        assert [attempt.stream_call_id for attempt in attempts] == ["c1", None]

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"url": 7}', b'{"url": "wss://media/"}', b'{"url": "//["}'])
    def test_accepts_an_answer_without_a_call_id(self, listen, body):
        (attempt,) = Exotel(listen(body).url, "k").play([[delivery("s1", Route.CALL_START)]])

        assert (attempt.acknowledged, attempt.stream_call_id) == (True, None)


def test_calls_began_within_the_last_hour():
    started = {dict(call.deliveries[0].pairs)["Created"] for call in simulated(2) if call.scenario is Scenario.VOICEBOT}

    (created,) = started
    began = datetime.strptime(f"{created} +0530", "%a, %d %b %Y %H:%M:%S %z")
    assert NOW - timedelta(hours=1) <= began <= NOW


@pytest.mark.parametrize(
    ("milliseconds", "share", "time"),
    [([], 0.5, None), ([7.04], 0.99, 7.0), ([3, 1, 2], 0.5, 2), (range(1, 201), 0.99, 198), ([1, 2], 0.5, 1)],
)
def test_percentile_uses_the_nearest_rank(milliseconds, share, time):
    assert percentile(milliseconds, share) == time
