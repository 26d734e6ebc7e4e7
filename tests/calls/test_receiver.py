from dataclasses import replace
from uuid import uuid4

import pytest
from events import event

from calyapp.calls import frame
from calyapp.errors import DatabaseAway, NotFoundError
from calyapp.spool.journal import Lane


@pytest.fixture
def owner(services):
    return services.clients.add("A", ["+918047112345"])


def spooled(services, lane: Lane = Lane.AWAY):
    return [frame.load(ready.content) for ready in services.journal.ready(lane, 100)]


class TestReceive:
    def test_records_a_delivery_and_spools_nothing(self, services, owner, query):
        delivery = event(client_id=owner.id)

        received = services.receiver.receive(delivery)

        assert (received.client_id, received.call_id) == (owner.id, delivery.call_id(owner.id))
        assert (received.status, spooled(services)) == ("ringing", [])
        assert query("SELECT count(*) FROM deliveries") == [(1,)]

    def test_spools_a_delivery_while_the_database_is_away(self, services_without_database):
        delivery = event(client_id=uuid4())

        received = services_without_database.receiver.receive(delivery)

        assert received.call_id == delivery.call_id(delivery.client_id)
        assert received.status == "ringing"  # what the delivery reports
        assert spooled(services_without_database) == [delivery]

    def test_spools_a_delivery_without_a_client_while_the_database_is_away(self, services_without_database):
        delivery = event(dialled="+918047112345")

        received = services_without_database.receiver.receive(delivery)

        assert (received.client_id, received.call_id) == (None, None)
        assert spooled(services_without_database) == [delivery]

    def test_refuses_a_delivery_that_no_client_owns(self, services):
        with pytest.raises(NotFoundError):
            services.receiver.receive(event(dialled="+918047112345"))

        assert spooled(services) == []

    def test_spools_a_deferred_delivery_with_its_client(self, services, owner, query):
        delivery = event(dialled="+918047112345")

        received = services.receiver.receive(delivery, deferred=True)

        assert received.call_id == delivery.call_id(owner.id)
        assert spooled(services, Lane.DEFERRED) == [replace(delivery, client_id=owner.id)]
        assert query("SELECT count(*) FROM deliveries") == [(0,)]

    def test_records_a_deferred_delivery_if_the_spool_refuses_it(self, services, owner, query):
        services.journal.close()
        services.settings.spool_dir.mkdir(parents=True, exist_ok=True)
        (services.settings.spool_dir / "journal.db").mkdir()

        services.receiver.receive(event(client_id=owner.id), deferred=True)

        assert query("SELECT count(*) FROM deliveries") == [(1,)]

    def test_quarantines_a_delivery_that_the_database_rejects_for_its_content(self, services, owner, query):
        query("ALTER TABLE deliveries ADD CONSTRAINT nothing CHECK (payload = '{}')")

        received = services.receiver.receive(event(client_id=owner.id))

        (quarantined,) = services.journal.quarantined()
        assert (quarantined.client_id, quarantined.reason) == (owner.id, "SQLSTATE 23514")
        assert (received.client_id, spooled(services)) == (owner.id, [])

    def test_spools_a_delivery_while_a_table_is_missing(self, services, owner, query):
        query("ALTER TABLE calls RENAME TO elsewhere")

        services.receiver.receive(event(client_id=owner.id))

        assert len(spooled(services)) == 1

    def test_spools_a_delivery_whose_key_could_not_be_confirmed(self, services, owner, query):
        delivery = event(client_id=owner.id, key_version=2)

        services.receiver.receive(delivery)

        assert spooled(services) == [delivery]
        assert query("SELECT count(*) FROM deliveries") == [(0,)]

    def test_raises_if_neither_database_nor_spool_can_store_the_delivery(self, services_without_database):
        services_without_database.settings.spool_dir.parent.mkdir(parents=True)
        services_without_database.settings.spool_dir.write_text("a file where the folder should be")

        with pytest.raises(DatabaseAway, match="could not be stored"):
            services_without_database.receiver.receive(event(client_id=uuid4()))
