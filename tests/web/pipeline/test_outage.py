import pytest

from calyapp.web.pipeline.outage import LONGEST_PAUSE_SECONDS, Outage


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outage(clock):
    return Outage(clock)


def test_everybody_tries_while_nothing_failed(outage):
    assert all(outage.may_try() for _ in range(10))


def test_many_that_fail_together_cost_one_second(outage, clock):
    attempts = [outage.may_try() for _ in range(8)]

    for attempt in attempts:
        outage.failed(attempt)

    assert outage.may_try() is None
    clock.now += 1.01
    assert outage.may_try()


def test_one_thread_tries_after_the_pause_and_the_others_go_on_without(outage, clock):
    outage.failed(outage.may_try())
    clock.now += 1.01

    assert [bool(outage.may_try()) for _ in range(3)] == [True, False, False]


def test_the_pause_doubles_up_to_a_bound(outage, clock):
    pauses = []
    for _ in range(8):
        outage.failed(outage.may_try())
        began = clock.now
        while not outage.may_try():
            clock.now += 0.5
        pauses.append(clock.now - began)
        clock.now += LONGEST_PAUSE_SECONDS + 1

    assert pauses == [1, 2, 4, 8, 16, 32, 32, 32]


def test_everybody_tries_again_after_a_success(outage, clock):
    outage.failed(outage.may_try())
    clock.now += 1.01
    outage.succeeded(outage.may_try())

    assert all(outage.may_try() for _ in range(3))


def test_a_late_answer_from_before_is_no_recovery(outage):
    early, failing = outage.may_try(), outage.may_try()
    outage.failed(failing)

    outage.succeeded(early)

    assert outage.may_try() is None
