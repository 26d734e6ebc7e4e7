from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_server import eventually

from calyapp.config import Secret
from calyapp.db import connection_budget
from calyapp.errors import DatabaseError


@given(st.integers(1, 64), st.integers(2, 100))
def test_exactly_the_required_number_of_connections_is_enough(workers, pool_max):
    enough = workers * pool_max + connection_budget.SPARE

    assert connection_budget.shortage(enough, workers, pool_max) is None
    assert connection_budget.shortage(enough - 1, workers, pool_max) is not None


def test_a_shortage_names_the_setting_to_change():
    shortage = connection_budget.shortage(97, workers=4, pool_max=60)

    assert "240 connections" in shortage.found
    assert "Set DB_POOL_MAX to 23 at most" in shortage.remedy


class TestAtStart:
    def test_reads_the_limit_of_the_server(self, settings, query):
        ((most,),) = query("SELECT current_setting('max_connections')::int")

        assert connection_budget.shortage_at_start(replace(settings, db_pool_max=20), workers=1) is None
        assert connection_budget.shortage_at_start(replace(settings, db_pool_max=most), workers=1) is not None

    def test_raises_if_the_server_is_unavailable(self, settings):
        nowhere = replace(settings, database_url=Secret("postgresql+psycopg2://caly@127.0.0.1:1/caly"))

        with pytest.raises(DatabaseError):
            connection_budget.shortage_at_start(nowhere, workers=9)

    def test_leaves_no_connection_open(self, settings, query):
        connection_budget.shortage_at_start(settings, workers=1)

        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        eventually(lambda: query(others) == [(0,)])
