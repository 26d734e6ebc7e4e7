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


def account(value="canaryToken", sid="asha1"):
    return ExotelAccount(sid, MUMBAI, Secret("canaryKey"), Secret(value))


@pytest.fixture
def store(services):
    """`store(key, previous)` returns the store of a process with these encryption keys."""
    return lambda *keys: ExotelAccountStore(services.database.records, Encryption(*keys))


@pytest.fixture
def clients(services):
    """`clients(count)` adds clients and returns their ids."""
    return lambda count: [services.clients.add(f"Client {number}", []).id for number in range(count)]


class TestConnect:
    def test_stores_the_account(self, store, clients):
        (client_id,) = clients(1)

        store(NEW).connect(client_id, account())

        assert store(NEW).get(client_id) == account()
        assert store(NEW).account_sid(client_id) == "asha1"

    def test_replaces_an_earlier_account(self, store, clients):
        (client_id,) = clients(1)
        store(NEW).connect(client_id, account())

        store(NEW).connect(client_id, account("newToken1", sid="asha2"))

        assert store(NEW).get(client_id) == account("newToken1", sid="asha2")

    def test_stores_no_credential_in_plain_text(self, store, clients, query):
        (client_id,) = clients(1)

        store(NEW).connect(client_id, account())

        ((row,),) = query("SELECT row_to_json(exotel_accounts)::text FROM exotel_accounts")
        assert b"canary".hex() not in row
        assert query("SELECT count(*) FROM audit_logs WHERE audit_logs::text LIKE '%%canary%%'") == [(0,)]

    def test_and_disconnect_write_audit_entries(self, store, clients, query):
        (client_id,) = clients(1)

        store(NEW).connect(client_id, account())
        store(NEW).disconnect(client_id)

        audited = {"accountSid": "asha1", "host": MUMBAI, "credentials": "***"}
        assert query(
            "SELECT event_type, client_id::text, changes FROM audit_logs WHERE event_type LIKE 'INTEGRATION%%' "
            "ORDER BY created_at"
        ) == [
            ("INTEGRATION_CONNECTED", str(client_id), {"after": audited}),
            ("INTEGRATION_DISCONNECTED", str(client_id), {"before": audited}),
        ]

    def test_refuses_an_unknown_client(self, store, query):
        with pytest.raises(NotFoundError, match="There is no client with this id"):
            store(NEW).connect(uuid4(), account())

        assert query("SELECT count(*) FROM exotel_accounts") == [(0,)]


class TestDisconnect:
    def test_deletes_the_account(self, store, clients):
        (client_id,) = clients(1)
        store(NEW).connect(client_id, account())

        store(NEW).disconnect(client_id)

        assert store(NEW).account_sid(client_id) is None
        with pytest.raises(NotFoundError, match="not connected"):
            store(NEW).get(client_id)

    def test_refuses_a_client_without_an_account(self, store, clients):
        (client_id,) = clients(1)

        with pytest.raises(NotFoundError, match="not connected"):
            store(NEW).disconnect(client_id)


class TestGet:
    def test_explains_what_to_do_if_no_key_decrypts(self, store, clients):
        (client_id,) = clients(1)
        store(OLD).connect(client_id, account())

        with pytest.raises(ConflictError, match="set ENCRYPTION_KEY_PREVIOUS"):
            store(NEW).get(client_id)

    def test_refuses_credentials_copied_from_another_client(self, store, clients, query):
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
    def test_makes_the_previous_key_unnecessary(self, store, clients):
        ids = clients(250)  # more than two batches
        for client_id in ids:
            store(OLD).connect(client_id, account(f"token-{client_id}"))

        done = dict(store(NEW, OLD).reencrypt())

        assert done == dict.fromkeys(ids, True)
        assert store(NEW).census() == Census(sealed=250, under_previous=0, unreadable=0)
        assert [store(NEW).get(client_id) for client_id in ids] == [account(f"token-{client_id}") for client_id in ids]

    def test_skips_and_reports_what_it_cannot_decrypt(self, store, clients):
        unreadable, readable = clients(2)
        store(OTHER).connect(unreadable, account())
        store(OLD).connect(readable, account())

        assert dict(store(NEW, OLD).reencrypt()) == {unreadable: False, readable: True}
        assert store(OTHER).get(unreadable) == account()
        assert store(NEW, OLD).census() == Census(sealed=2, under_previous=0, unreadable=1)

    def test_audits_the_finished_batches_if_it_is_interrupted(self, store, clients, query):
        for client_id in clients(101):  # more than a batch
            store(OLD).connect(client_id, account())

        next(store(NEW, OLD).reencrypt())

        counts = "SELECT metadata->'reencrypted' FROM audit_logs WHERE event_type = 'ENCRYPTION_KEY_ROTATED'"
        assert query(counts) == [(100,)]
        assert store(NEW, OLD).census().under_previous == 1

    def test_does_nothing_if_it_is_repeated(self, store, clients):
        (client_id,) = clients(1)
        store(OLD).connect(client_id, account())
        list(store(NEW, OLD).reencrypt())

        assert list(store(NEW, OLD).reencrypt()) == []

    def test_does_not_affect_concurrent_readers(self, store, clients):
        ids = clients(1_000)
        for client_id in ids:
            store(OLD).connect(client_id, account(f"token-{client_id}"))
        finished = Event()

        def read_until_finished(share):
            reader, read = store(NEW, OLD), 0
            while not finished.is_set() or not read:
                for client_id in share:
                    assert reader.get(client_id) == account(f"token-{client_id}")
                    read += 1
            return read

        with ThreadPoolExecutor(2) as readers:
            reading = [readers.submit(read_until_finished, share) for share in (ids[:500], ids[500:])]
            done = sum(is_done for _, is_done in store(NEW, OLD).reencrypt())
            finished.set()

            assert all(reads.result() >= 500 for reads in reading)
        assert done == 1_000
        assert store(NEW).census() == Census(sealed=1_000, under_previous=0, unreadable=0)
