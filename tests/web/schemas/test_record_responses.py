from calyapp.db.tables import audit_logs, calls
from calyapp.web.schemas.record_responses import CallSchema, CallWithTimelineSchema, EventSchema

# The columns from which a call's status, outcome and duration are derived.
KEPT_BACK = {"phase", "evidence", "talk_seconds", "call_seconds"}


class TestCall:
    def test_contains_the_columns_of_the_table(self):
        columns = {column.name for column in calls.columns if not column.name.endswith("_source")}

        assert set(CallSchema().fields) == columns - KEPT_BACK

    def test_with_its_timeline_extends_the_call(self):
        assert set(CallWithTimelineSchema().fields) - set(CallSchema().fields) == {"timeline", "timeline_truncated"}


class TestEvent:
    def test_contains_the_columns_of_the_table(self):
        assert set(EventSchema().fields) == {column.name for column in audit_logs.columns}
