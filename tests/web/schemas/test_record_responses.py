from calyapp.db.tables import audit_logs, calls
from calyapp.web.schemas.record_responses import CallSchema, CallWithTimelineSchema, EventSchema

# What a call's status, outcome and duration are made of.
KEPT_BACK = {"phase", "evidence", "talk_seconds", "call_seconds"}


class TestCall:
    def test_shows_what_the_table_has(self):
        columns = {column.name for column in calls.columns if not column.name.endswith("_source")}

        assert set(CallSchema().fields) == columns - KEPT_BACK

    def test_with_its_timeline_is_a_call_and_more(self):
        assert set(CallWithTimelineSchema().fields) - set(CallSchema().fields) == {"timeline", "timeline_truncated"}


class TestEvent:
    def test_shows_what_the_table_has(self):
        assert set(EventSchema().fields) == {column.name for column in audit_logs.columns}
