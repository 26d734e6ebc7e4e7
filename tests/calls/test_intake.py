from uuid import uuid4

import pytest
from events import event

from calyapp.errors import DatabaseAway, NotFoundError


class TestRecord:
    def test_tells_whose_call_it_is_and_how_it_stands(self, services):
        owner = services.clients.add("A", ["+918047112345"])
        delivery = event(dialled="080 4711 2345")

        recorded = services.intake.record(delivery)

        assert (recorded.client_id, recorded.call_id) == (owner.id, delivery.call_id(owner.id))
        assert (recorded.status, recorded.is_new) == ("ringing", True)

    def test_knows_a_repeat(self, services):
        services.clients.add("A", ["+918047112345"])
        delivery = event(dialled="+918047112345")
        services.intake.record(delivery)

        assert services.intake.record(delivery).is_new is False

    def test_refuses_what_belongs_to_nobody(self, services, query):
        with pytest.raises(NotFoundError, match="Client not found"):
            services.intake.record(event(dialled="+918047112345"))

        assert query("SELECT count(*) FROM deliveries") == [(0,)]

    def test_refuses_what_belongs_to_a_disabled_client(self, services):
        owner = services.clients.add("A", ["+918047112345"])
        services.clients.disable(owner.id)

        with pytest.raises(NotFoundError):
            services.intake.record(event(dialled="+918047112345"))

    def test_survives_that_the_server_closed_its_connections(self, services, query):
        owner = services.clients.add("A", [])
        services.intake.record(event(client_id=owner.id))
        query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'caly' AND datname = current_database()"
        )

        recorded = services.intake.record(event(client_id=owner.id))

        assert recorded.is_new
        assert query("SELECT count(*) FROM deliveries") == [(2,)]

    def test_says_that_the_database_is_away(self, services_without_database):
        with pytest.raises(DatabaseAway):
            services_without_database.intake.record(event(client_id=uuid4()))


class TestTryAgain:
    def fail(self, services, times: int = 3) -> None:
        for _ in range(times):
            with pytest.raises(DatabaseAway):
                services.intake.record(event(client_id=uuid4()))

    def test_finds_that_the_database_takes_deliveries_again(self, services, query):
        ((database,),) = query("SELECT current_database()")
        query(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        self.fail(services)
        query(f"SET default_transaction_read_only = off; ALTER DATABASE {database} RESET default_transaction_read_only")
        services.database.ingest.engine.dispose()

        while services.database.ingest.is_away:
            services.intake.try_again()

        assert services.intake.record(event(client_id=uuid4())).is_new

    @pytest.mark.parametrize("lock", ["deliveries", "audit_logs"])
    def test_finds_that_it_does_not_while_a_table_is_held(self, services, query, lock):
        query("BEGIN")
        query(f"LOCK TABLE {lock} IN SHARE MODE")
        self.fail(services)

        for _ in range(20):
            services.intake.try_again()

        assert services.database.ingest.is_away
        query("ROLLBACK")
