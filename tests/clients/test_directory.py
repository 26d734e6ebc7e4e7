import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from clocks import Clock
from sqlalchemy import event

from calyapp.clients import directory as directory_module
from calyapp.clients.directory import Directory
from calyapp.clients.directory_copy import DirectoryCopy
from calyapp.clients.keys import Claim
from calyapp.db import queries
from calyapp.errors import DatabaseAway

NUMBER, OTHER_NUMBER = "+918047112345", "+918047112346"
UNKNOWN_CLIENT = uuid4()
UNKNOWN_NUMBERS = [f"+9180471199{digits:02}" for digits in range(10)]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(services):
    """Changes clients as another process does: the directory is not told."""
    return services.clients


@pytest.fixture
def asha(store):
    """A client that the directory has read."""
    return store.add("Asha Clinics", [NUMBER])


@pytest.fixture
def copy(tmp_path):
    return DirectoryCopy(tmp_path / "directory")


@pytest.fixture
def directory(store, asha, copy, clock):
    """A directory that was refreshed once."""
    directory = Directory(store, copy, clock)
    directory.refresh()
    return directory


@pytest.fixture
def take_database_away(services):
    """`take_database_away()` points all further connections at a port where nothing listens."""
    engine = services.database.records.engine

    def change_port(_dialect, _record, _arguments, parameters):
        parameters |= {"host": "127.0.0.1", "port": "1"}

    def take_away():
        engine.dispose()
        event.listen(engine, "do_connect", change_port)

    return take_away


class TestMemory:
    def test_answers_without_a_query(self, directory, asha):
        with queries.tallied() as tally:
            answers = [directory.owner(NUMBER), directory.client(asha.id), directory.authenticate(Claim(asha.id, 1))]

        assert answers == [asha] * 3
        assert tally.count == 0

    def test_is_filled_by_the_first_reader(self, copy, store, asha, clock):
        directory = Directory(store, copy, clock)
        assert directory.owner(NUMBER) == asha

        with queries.tallied() as tally:
            directory.client(asha.id)

        assert tally.count == 0

    def test_shows_a_change_after_a_refresh(self, directory, store, asha):
        store.disable(asha.id)
        assert directory.client(asha.id) == asha

        directory.refresh()

        assert directory.client(asha.id) is None

    def test_is_refreshed_by_a_reader_that_finds_it_stale(self, directory, store, asha, clock):
        store.disable(asha.id)

        clock.seconds += 4.0
        fresh = directory.client(asha.id)
        clock.seconds += 0.1
        stale = directory.client(asha.id)

        assert (fresh, stale) == (asha, None)

    def test_serves_other_readers_during_a_refresh(self, directory, services, asha, clock):
        query_began, may_continue = threading.Event(), threading.Event()

        @event.listens_for(services.database.records.engine, "before_cursor_execute")
        def hold(*_):
            query_began.set()
            may_continue.wait(10)

        clock.seconds += 5
        with ThreadPoolExecutor(1) as threads:
            refreshing = threads.submit(directory.owner, NUMBER)
            assert query_began.wait(10)

            with queries.tallied() as tally:
                served = directory.owner(NUMBER)
            may_continue.set()

        assert (served, tally.count) == (asha, 0)
        assert refreshing.result() == asha


class TestLookUp:
    def test_finds_a_new_client_at_once(self, directory, store):
        added = store.add("New", [OTHER_NUMBER])

        answers = [
            directory.owner(OTHER_NUMBER),
            directory.client(added.id),
            directory.authenticate(Claim(added.id, 1)),
        ]

        assert answers == [added] * 3

    def test_finds_a_new_number_at_once(self, directory, store, asha):
        changed = store.add_number(asha.id, OTHER_NUMBER)

        assert directory.owner(OTHER_NUMBER) == changed

    @pytest.mark.parametrize(
        "ask",
        [
            lambda directory, _: directory.owner(OTHER_NUMBER),
            lambda directory, _: directory.client(UNKNOWN_CLIENT),
            lambda directory, asha: directory.authenticate(Claim(asha.id, 2)),
        ],
        ids=["number", "client", "version"],
    )
    def test_queries_for_each_unknown_key_once_a_second(self, directory, asha, clock, ask):
        with queries.tallied() as tally:
            misses = [ask(directory, asha) for _ in range(3)]
            clock.seconds += 0.9
            misses.append(ask(directory, asha))
            queries_in_first_second = tally.count
            clock.seconds += 0.1
            misses.append(ask(directory, asha))

        assert misses == [None] * 5
        assert (queries_in_first_second, tally.count) == (1, 2)

    def test_finds_a_new_client_one_second_after_a_miss(self, directory, store, clock):
        assert directory.owner(OTHER_NUMBER) is None
        added = store.add("New", [OTHER_NUMBER])
        assert directory.owner(OTHER_NUMBER) is None

        clock.seconds += 1

        assert directory.owner(OTHER_NUMBER) == added

    def test_bounds_the_number_of_remembered_misses(self, directory, monkeypatch):
        monkeypatch.setattr(directory_module, "_MAX_MISSES", 3)
        first, *others = UNKNOWN_NUMBERS[:4]

        with queries.tallied() as tally:
            for number in (first, *others, first):
                directory.owner(number)

        assert tally.count == 5


class TestDisabledClient:
    @pytest.fixture(autouse=True)
    def disabled(self, store, asha):
        store.disable(asha.id)

    def test_is_not_authenticated(self, directory, asha):
        assert directory.authenticate(Claim(asha.id, 1)) is None
        assert directory.client(asha.id) is None

    def test_owns_no_number(self, directory):
        assert directory.owner(NUMBER) is None

    def test_costs_no_query(self, directory, asha):
        with queries.tallied() as tally:
            directory.authenticate(Claim(asha.id, 1))
            directory.owner(NUMBER)

        assert tally.count == 0

    def test_is_refused_after_a_look_up_too(self, directory, store):
        added = store.add("New", [OTHER_NUMBER])
        store.disable(added.id)

        assert directory.authenticate(Claim(added.id, 1)) is None
        assert directory.owner(OTHER_NUMBER) is None


class TestAuthenticate:
    def test_accepts_every_version_that_is_not_retired(self, directory, store, asha):
        rotated = store.rotate_key(asha.id)
        directory.refresh()

        assert [directory.authenticate(Claim(asha.id, version)) for version in (1, 2)] == [rotated] * 2

    def test_refuses_a_retired_version(self, directory, store, asha):
        store.rotate_key(asha.id)
        retired = store.retire_keys(asha.id)
        directory.refresh()

        assert [directory.authenticate(Claim(asha.id, version)) for version in (1, 2)] == [None, retired]

    def test_refuses_a_future_version(self, directory, asha):
        assert directory.authenticate(Claim(asha.id, 2)) is None

    def test_accepts_a_version_newer_than_the_directory(self, directory, store, asha):
        rotated = store.rotate_key(asha.id)

        assert directory.authenticate(Claim(asha.id, 2)) == rotated

    def test_refuses_a_newer_version_that_was_retired(self, directory, store, asha):
        for change in (store.rotate_key, store.rotate_key, store.retire_keys):
            change(asha.id)

        assert directory.authenticate(Claim(asha.id, 2)) is None

    def test_refuses_a_newer_version_of_a_disabled_client(self, directory, store, asha):
        store.rotate_key(asha.id)
        store.disable(asha.id)

        assert directory.authenticate(Claim(asha.id, 2)) is None

    def test_refuses_an_unknown_client(self, directory):
        assert directory.authenticate(Claim(uuid4(), 1)) is None


class TestDatabaseAway:
    def test_keeps_the_stale_directory_and_is_logged(self, directory, asha, clock, take_database_away, caplog):
        take_database_away()
        clock.seconds += 5

        with caplog.at_level(logging.WARNING, "calyapp.clients.directory"):
            answers = [directory.owner(NUMBER), directory.authenticate(Claim(asha.id, 1))]

        assert answers == [asha] * 2
        assert caplog.messages == ["the directory of clients could not be refreshed"]

    def test_is_not_queried_by_every_reader(self, directory, clock, take_database_away, caplog):
        take_database_away()

        with caplog.at_level(logging.WARNING, "calyapp.clients.directory"):
            for _ in range(10):
                clock.seconds += 1
                directory.owner(NUMBER)

        assert len(caplog.messages) == 2

    def test_raises_in_the_background_refresh(self, directory, asha, take_database_away):
        take_database_away()

        with pytest.raises(DatabaseAway):
            directory.refresh()

        assert directory.owner(NUMBER) == asha

    def test_raises_for_readers_of_an_empty_directory(self, copy, store, clock, take_database_away):
        take_database_away()

        with pytest.raises(DatabaseAway):
            Directory(store, copy, clock).owner(NUMBER)

    def test_raises_for_an_unknown_number(self, directory, take_database_away):
        take_database_away()

        with pytest.raises(DatabaseAway):
            directory.owner(OTHER_NUMBER)


class TestStartWithoutDatabase:
    def test_answers_from_the_copy_and_logs_it(self, directory, store, asha, copy, clock, take_database_away, caplog):
        take_database_away()

        started = Directory(store, copy, clock)

        assert [started.owner(NUMBER), started.authenticate(Claim(asha.id, 1))] == [asha, asha]
        assert "on the directory's copy on disk" in caplog.text

    def test_raises_without_a_copy(self, store, asha, copy, clock, take_database_away):
        take_database_away()

        with pytest.raises(DatabaseAway):
            Directory(store, copy, clock).owner(NUMBER)

    def test_reads_the_database_when_it_is_back(self, directory, store, copy, clock):
        copy.write([])
        started = Directory(store, copy, clock)
        newer = store.add("Newer", [OTHER_NUMBER])

        started.refresh()

        assert started.owner(OTHER_NUMBER) == newer
        assert newer in copy.read()
