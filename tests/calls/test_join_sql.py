"""That the SQL joins as Python does is shown on real rows in test_store; here is what it is made of."""

from calyapp.calls.join_sql import joined_columns
from calyapp.calls.state import ENDINGS, SOURCED, Evidence, Phase, Source
from calyapp.db.tables import calls

UNTOUCHED = {"client_id", "call_sid", "id", "created_at"}


def test_every_column_that_deliveries_change_is_joined():
    assert set(joined_columns()) == {column.name for column in calls.columns} - UNTOUCHED


def test_every_rank_and_ending_of_state_is_in_it():
    joined = joined_columns()

    assert all(f"'{phase}'" in joined["phase"] for phase in Phase)
    assert all(f"'{evidence}'" in joined["evidence"] for evidence in Evidence)
    assert all(f"'{source}'" in joined[name] for source in Source for name in SOURCED)
    assert all(f"WHEN '{word}' THEN '{status}'" in joined["status"] for word, (status, _) in ENDINGS.items())
