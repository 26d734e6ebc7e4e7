"""Schemas of calls, audit entries and import reports in answers."""

from typing import Any

from marshmallow import pre_dump

from calyapp.audit.audit_log import EntryStatus
from calyapp.audit.events import EventType
from calyapp.calls.event import Route
from calyapp.calls.reader import CallWithTimeline
from calyapp.calls.state import CallOutcome, CallStatus, Direction
from calyapp.errors import Severity
from calyapp.exotel.cdr_import import RowResult
from calyapp.web.schemas.operations import CALL_SID_EXAMPLE
from calyapp.web.schemas.responses import (
    REQUEST_ID_EXAMPLE,
    BaseResponseSchema,
    count,
    counts,
    day,
    free,
    listed,
    moment,
    nested,
    text,
    truth,
    uuid,
    word,
)


class PageSchema(BaseResponseSchema):
    """One page of a list, newest first."""

    next = text("Value of `cursor` for the next page; null on the last page", allow_none=True)


class CallSchema(BaseResponseSchema):
    """A call."""

    id = uuid("Id of the call")
    client_id = uuid("The client that owns the call")
    call_sid = text("CallSid: Exotel's id of the call", CALL_SID_EXAMPLE)
    status = word(CallStatus, "Progress of the call, or how it ended")
    outcome = word(CallOutcome, "Result of the call; null while it lasts or if it is unknown", allow_none=True)
    direction = word(Direction, "Direction from the client's point of view; null if unknown", allow_none=True)
    phone_from = text("Number of the caller, in E.164 if possible", "+919876543210", data_key="from", allow_none=True)
    phone_to = text("Dialled number, in E.164 if possible", "+918047112345", data_key="to", allow_none=True)
    start_ts = moment("Start of the call", data_key="startTime", allow_none=True)
    end_ts = moment("End of the call", data_key="endTime", allow_none=True)
    duration_seconds = count("Talk time in seconds, or the call's duration if that is unknown", 42, allow_none=True)
    recording_url = text("URL of the recording at Exotel", allow_none=True)
    created_at = moment("Time at which Caly first received a delivery of the call")
    updated_at = moment("Time of the last change of this record")


class CallsPageSchema(PageSchema):
    """A page of calls."""

    items = listed(CallSchema, "The calls")


class DeliverySchema(BaseResponseSchema):
    """A delivery: one request of Exotel about a call."""

    route = word(Route, "Route that received it: the last part of `/webhooks/exotel/…`")
    received_at = moment("Time of arrival")
    repeats = count("How often the same delivery arrived again", 0)
    payload = free(
        "All parameters as received: texts, or lists of texts if a name occurs more than once",
        {"CallSid": CALL_SID_EXAMPLE, "CallStatus": "completed"},
        data_key="parameters",
    )


class CallWithTimelineSchema(CallSchema):
    """A call with its deliveries."""

    timeline = listed(DeliverySchema, "The deliveries in order of arrival, at most 1000 or about 4 MiB")
    timeline_truncated = truth("Whether there are more deliveries than the timeline contains", False)

    @pre_dump
    def _flatten(self, call: CallWithTimeline, **_: Any) -> dict[str, Any]:
        return {**call.call, "timeline": call.timeline, "timeline_truncated": call.is_truncated}


class EventSchema(BaseResponseSchema):
    """An audit entry."""

    id = uuid("Id of the entry")
    created_at = moment("Time of the event")
    event_type = word(EventType, "Type of the event")
    severity = word(Severity, "Severity of the event")
    status = word(EntryStatus, "Whether the action succeeded")
    client_id = uuid("The client concerned", allow_none=True)
    call_id = uuid("The call concerned", allow_none=True)
    user_id = uuid("The user who acted", allow_none=True)
    description = text("Description of the event", "Delivery received")
    resource = text("Kind of the resource concerned", "call", allow_none=True)
    resource_id = text("Id of the resource concerned", allow_none=True)
    changes = free("Values before and after an operator's change, with secrets masked", allow_none=True)
    ip_address = text("IP address of the sender", "203.0.113.7", allow_none=True)
    user_agent = text("`User-Agent` of the sender", allow_none=True)
    request_id = text("Id of the request", REQUEST_ID_EXAMPLE, allow_none=True)
    metadata = free("Further facts, which depend on the type", allow_none=True)


class EventsPageSchema(PageSchema):
    """A page of audit entries."""

    items = listed(EventSchema, "The entries")


class CountsSchema(BaseResponseSchema):
    """Counts of audit events. A throttled entry counts as many events as its `metadata.count` says."""

    since = day("First counted day")
    until = day("The day after the last counted day")
    as_of = moment("Time of the count, at most a minute ago")
    types = counts("Events by type", "CALL_STARTED")
    severities = counts("Events by severity", "LOW")
    statuses = counts("Events by status", "success")
    days = counts("Events by day (UTC)", "2026-11-22")


class ImportedRowSchema(BaseResponseSchema):
    """The result of one row."""

    line = count("Line of the file in which the row begins", 2)
    call_sid = text("CallSid of the row", CALL_SID_EXAMPLE)
    result = word(RowResult, "Whether the row was recorded now, was recorded before, or was rejected")
    message = text("Reason of the rejection", "The row contains a NUL character.", required=False)


class ImportSummarySchema(BaseResponseSchema):
    """Counts of rows by result."""

    new = count("Rows recorded now", 41)
    repeat = count("Rows recorded before", 1)
    rejected = count("Rejected rows", 0)
    not_tried = count("Rows not tried because the database failed. Import the file again", 0)
    complete = truth("Whether all rows were tried", True)


class ImportReportSchema(BaseResponseSchema):
    """The result of an import."""

    rows = listed(ImportedRowSchema, "The rows, in the order of the file")
    summary = nested(ImportSummarySchema)
