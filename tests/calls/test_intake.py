from datetime import UTC, datetime
from uuid import uuid4

import pytest

from calyapp import clock
from calyapp.calls.event import Arrival, CallEvent, Route, digest
from calyapp.calls.state import CallView, Phase
from calyapp.config import Settings
from calyapp.errors import DatabaseAway, NotFoundError
from calyapp.services import build


def event(**overrides) -> CallEvent:
    moment = datetime.now(UTC)
    call_sid = uuid4().hex
    known = {
        "route": Route.CALL_STATUS,
        "parameters": [("CallSid", call_sid)],
        "digest": digest(Route.CALL_STATUS, [("CallSid", call_sid)]),
        "arrival": Arrival(at=moment, audit_id=clock.uuid7(moment)),
        "client_id": None,
        "call_sid": call_sid,
        "view": CallView(phase=Phase.RINGING),
    }
    return CallEvent(**{**known, **overrides})


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

    def test_says_that_the_database_is_away(self):
        settings = Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"})
        services = build(settings)

        with pytest.raises(DatabaseAway):
            services.intake.record(event(client_id=uuid4()))
