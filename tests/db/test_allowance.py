from dataclasses import replace

import pytest

from calyapp.config import Secret
from calyapp.db import allowance


@pytest.fixture
def allowed(query) -> int:
    """What the server has for workers."""
    ((most,),) = query("SELECT current_setting('max_connections')::int")
    ((reserved,),) = query("SELECT current_setting('superuser_reserved_connections')::int")
    return most - reserved - allowance.SPARE


def test_as_many_as_the_server_has_are_enough(settings, allowed):
    assert allowance.shortage(replace(settings, db_pool_max=allowed), workers=1) is None


def test_one_too_many_is_told_with_what_to_set(settings, allowed):
    told = allowance.shortage(replace(settings, db_pool_max=allowed // 2 + 1), workers=2)

    assert f"Set DB_POOL_MAX to {allowed // 2} at most" in told


def test_a_server_that_is_away_is_no_reason_not_to_start(settings):
    nowhere = replace(settings, database_url=Secret("postgresql+psycopg2://caly@127.0.0.1:1/caly"))

    assert allowance.shortage(nowhere, workers=9) is None


def test_leaves_no_connection_open(settings, query):
    allowance.shortage(settings, workers=1)

    assert query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == [(1,)]
