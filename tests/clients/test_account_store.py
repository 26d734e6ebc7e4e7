from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import uuid4

import pytest

from calyapp.clients.account_store import ExotelAccount, ExotelAccountStore
from calyapp.encryption import Census, Encryption
from calyapp.errors import ConflictError, NotFoundError
from calyapp.setting_kinds import Secret

OLD, NEW, OTHER = bytes(32), bytes(range(32)), bytes(range(32, 64))
MUMBAI = "api.in.exotel.com"


def account(word="canaryToken", sid="asha1"):
    return ExotelAccount(sid, MUMBAI, Secret("canaryKey"), Secret(word))


@pytest.fixture
def store(services):
    """`store(key, previous)`: the accounts as a process with these keys sees them."""
    return lambda *keys: ExotelAccountStore(services.database.records, Encryption(*keys))


@pytest.fixture
def clients(services):
    """`clients(count)`: the ids of so many new clients."""
    return lambda count: [services.clients.add(f"Client {number}", []).id for number in range(count)]


class TestConnect:
    def test_keeps_the_account(self, store, clients):
        (client_id,) = clients(1)

        store(NEW).connect(client_id, account())

        assert store(NEW).get(client_id) == account()
        assert store(NEW).account_sid(client_id) == "asha1"

    def test_replaces_the_account_before(self, store, clients):
        (client_id,) = clients(1)
        store(NEW).connect(client_id, account())

        store(NEW).connect(client_id, account("newToken1", sid="asha2"))

        assert store(NEW).get(client_id) == account("newToken1", sid="asha2")

    def test_leaves_no_credential_in_the_database_in_clear(self, store, clients, query):
        (client_id,) = clients(1)

        store(NEW).connect(client_id, account())

        ((row,),) = query("SELECT row_to_json(exotel_accounts)::text FROM exotel_accounts")
        assert b"canary".hex() not in row
        assert query("SELECT count(*) FROM audit_logs WHERE audit_logs::text LIKE '%%canary%%'") == [(0,)]

    def test_is_audited(self, store, clients, query):
        (client_id,) = clients(1)

        store(NEW).connect(client_id, account())
        store(NEW).disconnect(client_id)

        shown = {"accountSid": "asha1", "host": MUMBAI, "credentials": "***"}
        assert query(
            "SELECT event_type, client_id::text, changes FROM audit_logs WHERE event_type LIKE 'INTEGRATION%%' "
            "ORDER BY created_at"
        ) == [
            ("INTEGRATION_CONNECTED", str(client_id), {"after": shown}),
            ("INTEGRATION_DISCONNECTED", str(client_id), {"before": shown}),
        ]

    def test_does_not_find_an_unknown_client(self, store, query):
        with pytest.raises(NotFoundError, match="There is no client with this id"):
            store(NEW).connect(uuid4(), account())

        assert query("SELECT count(*) FROM exotel_accounts") == [(0,)]


class TestDisconnect:
    def test_forgets_the_account(self, store, clients):
        (client_id,) = clients(1)
        store(NEW).connect(client_id, account())

        store(NEW).disconnect(client_id)

        assert store(NEW).account_sid(client_id) is None
        with pytest.raises(NotFoundError, match="not connected"):
            store(NEW).get(client_id)

    def test_refuses_where_there_is_none(self, store, clients):
        (client_id,) = clients(1)

        with pytest.raises(NotFoundError, match="not connected"):
            store(NEW).disconnect(client_id)


class TestGet:
    def test_says_what_to_do_about_another_key(self, store, clients):
        (client_id,) = clients(1)
        store(OLD).connect(client_id, account())

        with pytest.raises(ConflictError, match="set ENCRYPTION_KEY_PREVIOUS"):
            store(NEW).get(client_id)

    def test_refuses_credentials_that_were_copied_to_another_client(self, store, clients, query):
        asha, bindu = clients(2)
        store(NEW).connect(asha, account())
        store(NEW).connect(bindu, account("another1"))
        query(
            "UPDATE exotel_accounts SET credentials = (SELECT credentials FROM exotel_accounts WHERE client_id = %s)",
            str(asha),
        )

        assert store(NEW).get(asha) == account()
        with pytest.raises(ConflictError):
            store(NEW).get(bindu)


class TestReencrypt:
    def test_makes_the_key_before_superfluous(self, store, clients):
        ids = clients(250)  # more than two batches
        for client_id in ids:
            store(OLD).connect(client_id, account(f"token-{client_id}"))

        done = dict(store(NEW, OLD).reencrypt())

        assert done == dict.fromkeys(ids, True)
        assert store(NEW).census() == Census(sealed=250, under_previous=0, unreadable=0)
        assert [store(NEW).get(client_id) for client_id in ids] == [account(f"token-{one}") for one in ids]

    def test_leaves_what_it_cannot_read_and_names_it(self, store, clients):
        lost, found = clients(2)
        store(OTHER).connect(lost, account())
        store(OLD).connect(found, account())

        assert dict(store(NEW, OLD).reencrypt()) == {lost: False, found: True}
        assert store(OTHER).get(lost) == account()
        assert store(NEW, OLD).census() == Census(sealed=2, under_previous=0, unreadable=1)

    def test_is_on_the_trail_as_far_as_it_came_when_it_is_broken_off(self, store, clients, query):
        for client_id in clients(101):  # more than a batch
            store(OLD).connect(client_id, account())

        next(store(NEW, OLD).reencrypt())

        counts = "SELECT metadata->'reencrypted' FROM audit_logs WHERE event_type = 'ENCRYPTION_KEY_ROTATED'"
        assert query(counts) == [(100,)]
        assert store(NEW, OLD).census().under_previous == 1

    def test_has_nothing_to_do_the_second_time(self, store, clients):
        (client_id,) = clients(1)
        store(OLD).connect(client_id, account())
        list(store(NEW, OLD).reencrypt())

        assert list(store(NEW, OLD).reencrypt()) == []

    def test_is_noticed_by_nobody_who_reads_meanwhile(self, store, clients):
        ids = clients(1_000)
        for client_id in ids:
            store(OLD).connect(client_id, account(f"token-{client_id}"))
        over = Event()

        def read_until_over(share):
            reader, read = store(NEW, OLD), 0
            while not over.is_set() or not read:
                for client_id in share:
                    assert reader.get(client_id) == account(f"token-{client_id}")
                    read += 1
            return read

        with ThreadPoolExecutor(2) as readers:
            reading = [readers.submit(read_until_over, share) for share in (ids[:500], ids[500:])]
            done = sum(is_done for _, is_done in store(NEW, OLD).reencrypt())
            over.set()

            assert all(one.result() >= 500 for one in reading)
        assert done == 1_000
        assert store(NEW).census() == Census(sealed=1_000, under_previous=0, unreadable=0)
