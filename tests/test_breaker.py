import pytest
from clocks import Clock

from calyapp.breaker import Breaker


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def changes():
    """The changes that the breaker reported: True for each opening, False for each closing."""
    return []


@pytest.fixture
def breaker(clock, changes):
    """`breaker(failures)` returns a breaker that opens after this number of failures."""
    return lambda failures=1: Breaker(failures=failures, pause=1, max_pause=32, on_change=changes.append, clock=clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.may_try())


def test_all_callers_may_try_while_it_is_closed(breaker):
    mine = breaker()

    assert all(mine.may_try() is not None for _ in range(10))
    assert not mine.is_open


def test_opens_after_the_configured_number_of_failures_in_a_row(breaker, changes):
    mine = breaker(3)

    fail(mine, 2)
    mine.succeeded(mine.may_try())
    fail(mine, 2)
    before = mine.is_open
    fail(mine)

    assert (before, mine.is_open, mine.may_try(), changes) == (False, True, None, [True])


def test_concurrent_failures_cause_one_pause(breaker, clock):
    mine = breaker()
    attempts = [mine.may_try() for _ in range(8)]

    for attempt in attempts:
        mine.failed(attempt)

    assert mine.may_try() is None
    clock.seconds += 1.01
    assert mine.may_try() is not None


def test_only_one_thread_probes_after_the_pause(breaker, clock):
    mine = breaker()
    fail(mine)
    clock.seconds += 1.01

    assert [mine.may_try() is not None for _ in range(3)] == [True, False, False]
    assert mine.is_open


def test_the_pause_doubles_up_to_a_maximum(breaker, clock):
    mine = breaker()
    pauses = []
    attempt = mine.may_try()
    for _ in range(8):
        mine.failed(attempt)
        began = clock.seconds
        while (attempt := mine.may_try()) is None:
            clock.seconds += 0.5
        pauses.append(clock.seconds - began)

    assert pauses == [1, 2, 4, 8, 16, 32, 32, 32]


def test_all_callers_may_try_after_a_success(breaker, clock, changes):
    mine = breaker()
    fail(mine)
    clock.seconds += 1.01
    mine.succeeded(mine.may_try())

    assert all(mine.may_try() is not None for _ in range(3))
    assert changes == [True, False]


def test_a_late_answer_of_an_earlier_attempt_does_not_close_it(breaker):
    mine = breaker()
    early, failing = mine.may_try(), mine.may_try()
    mine.failed(failing)

    mine.succeeded(early)

    assert mine.may_try() is None


def test_a_failure_of_an_earlier_attempt_does_not_lengthen_the_pause(breaker, clock):
    mine = breaker()
    early, failing = mine.may_try(), mine.may_try()
    mine.failed(failing)
    clock.seconds += 1.01
    mine.failed(early)

    assert mine.may_try() is not None
