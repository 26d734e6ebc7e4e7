"""Calls and audit entries, as people and programs are shown them: a page of them, or one."""

from typing import Any

from marshmallow import pre_dump

from calyapp.audit.audit_log import EntryStatus as EventOutcome
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
    """A part of a list, the newest first."""

    next = text("For `cursor`, to get the page after; null on the last one", allow_none=True)


class CallSchema(BaseResponseSchema):
    """A call."""

    id = uuid("The call's id")
    client_id = uuid("Whose call it is")
    call_sid = text("Exotel's name for the call", CALL_SID_EXAMPLE)
    status = word(CallStatus, "How far it has come, or how it ended")
    outcome = word(CallOutcome, "What became of it; null while it lasts, or if nothing told", allow_none=True)
    direction = word(Direction, "Whether the client was rung or rang; null if nothing told", allow_none=True)
    phone_from = text("Who rang, in E.164 where that is known", "+919876543210", data_key="from", allow_none=True)
    phone_to = text("Who was rung, likewise", "+918047112345", data_key="to", allow_none=True)
    start_ts = moment("When it began", data_key="startTime", allow_none=True)
    end_ts = moment("When it ended", data_key="endTime", allow_none=True)
    duration_seconds = count("Talk time; the call's duration where nothing better is known", 42, allow_none=True)
    recording_url = text("Where Exotel keeps the recording", allow_none=True)
    created_at = moment("When Caly first heard of it")
    updated_at = moment("When its record last changed")


class CallsPageSchema(PageSchema):
    """A page of calls."""

    items = listed(CallSchema, "The calls")


class DeliverySchema(BaseResponseSchema):
    """What Exotel told of a call at one time."""

    route = word(Route, "Where it came in: the word after `/webhooks/exotel/`")
    received_at = moment("When it came")
    repeats = count("How often the same came again", 0)
    payload = free(
        "Everything that was sent: texts, or lists of texts where a name came more than once",
        {"CallSid": CALL_SID_EXAMPLE, "CallStatus": "completed"},
        data_key="parameters",
    )


class CallWithTimelineSchema(CallSchema):
    """A call, and what was told of it."""

    timeline = listed(DeliverySchema, "The deliveries as they came, 1000 or some 4 MiB of them at most")
    timeline_truncated = truth("Whether there are more deliveries than the timeline shows", False)

    @pre_dump
    def _flatten(self, found: CallWithTimeline, **_: Any) -> dict[str, Any]:
        return {**found.call, "timeline": found.timeline, "timeline_truncated": found.is_truncated}


class EventSchema(BaseResponseSchema):
    """An entry of the audit trail."""

    id = uuid("The entry's id")
    created_at = moment("When it happened")
    event_type = word(EventType, "What happened")
    severity = word(Severity, "How much it matters")
    status = word(EventOutcome, "How it ended")
    client_id = uuid("The client whom it is about", allow_none=True)
    call_id = uuid("The call that it is about", allow_none=True)
    user_id = uuid("The user who did it", allow_none=True)
    description = text("What happened, in words", "Delivery received")
    resource = text("The kind of thing that it happened to", "call", allow_none=True)
    resource_id = text("Which of them", allow_none=True)
    changes = free("Before and after, of what operators change; secrets masked", allow_none=True)
    ip_address = text("Where it came from", "203.0.113.7", allow_none=True)
    user_agent = text("With what", allow_none=True)
    request_id = text("The request that it happened in", REQUEST_ID_EXAMPLE, allow_none=True)
    metadata = free("What else is known of it", allow_none=True)


class EventsPageSchema(PageSchema):
    """A page of the trail."""

    items = listed(EventSchema, "The entries")


class CountsSchema(BaseResponseSchema):
    """How often what is on the trail occurred: a throttled entry counts as its `metadata.count`."""

    since = day("The first day that is counted")
    until = day("The day after the last")
    as_of = moment("When it was counted: within the last minute")
    types = counts("By what happened", "CALL_STARTED")
    severities = counts("By how much it matters", "LOW")
    statuses = counts("By how it ended", "success")
    days = counts("By day (UTC)", "2026-11-22")


class ImportedRowSchema(BaseResponseSchema):
    """What became of a row."""

    line = count("Where it begins in the file", 2)
    call_sid = text("The call that it is about", CALL_SID_EXAMPLE)
    result = word(RowResult, "Recorded now, recorded before, or rejected")
    message = text("Why it was rejected", "The row contains a NUL character.", required=False)


class ImportSummarySchema(BaseResponseSchema):
    """How many rows went how."""

    new = count("Recorded now", 41)
    repeat = count("Recorded before", 1)
    rejected = count("Rejected", 0)
    not_tried = count("Not tried, for the database failed; import the file again", 0)
    complete = truth("Whether all were tried", True)


class ImportReportSchema(BaseResponseSchema):
    """What became of an upload."""

    rows = listed(ImportedRowSchema, "The rows, in the order of the file")
    summary = nested(ImportSummarySchema)
