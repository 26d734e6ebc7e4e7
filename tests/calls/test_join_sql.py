"""The parts of the generated SQL. `test_store` shows on real rows that it joins as Python does."""

from calyapp.calls.join_sql import joined_columns
from calyapp.calls.state import ENDINGS, SOURCED, Evidence, Phase, Source
from calyapp.db.tables import calls

CONSTANT = {"client_id", "call_sid", "id", "created_at"}


def test_every_column_that_deliveries_change_is_joined():
    assert set(joined_columns()) == {column.name for column in calls.columns} - CONSTANT


def test_every_rank_and_ending_of_state_is_in_the_sql():
    joined = joined_columns()

    assert all(f"'{phase}'" in joined["phase"] for phase in Phase)
    assert all(f"'{evidence}'" in joined["evidence"] for evidence in Evidence)
    assert all(f"'{source}'" in joined[name] for source in Source for name in SOURCED)
    assert all(f"WHEN '{evidence}' THEN '{status}'" in joined["status"] for evidence, (status, _) in ENDINGS.items())
