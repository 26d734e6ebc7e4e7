"""Schemas of requests to the API and of options of the command line. Unknown fields are refused."""

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import INCLUDE, RAISE, Schema, fields, pre_load, validates_schema
from marshmallow import ValidationError as Invalid
from werkzeug.datastructures import MultiDict

from calyapp import clock
from calyapp.access import passwords
from calyapp.audit.audit_log import EntryStatus
from calyapp.audit.events import EventType
from calyapp.calls.state import CallStatus, Direction
from calyapp.errors import Severity
from calyapp.web.schemas import validators
from calyapp.web.schemas.operations import CALL_SID_EXAMPLE, MOMENT_EXAMPLE, UUID_EXAMPLE, about
from calyapp.web.schemas.sanitizers import lower, trim

EARLIEST_DAY = date(2000, 1, 1)
MAX_SPAN = timedelta(days=366)


class StrictSchema(Schema):
    """Refuses unknown fields. Loads a JSON object, or the MultiDict of a query string or form."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "is not a known field.", "type": "must be an object."}  # noqa: RUF012 — as its parent

    @pre_load
    def _keep_repeated(self, data: Any, **_: Any) -> Any:
        """Passes a repeated name as a list, which a field for one value refuses: choosing one would be a guess."""
        if not isinstance(data, MultiDict):
            return data
        lists = {field.data_key or name for name, field in self.load_fields.items() if isinstance(field, fields.List)}
        return {
            name: values if name in lists or len(values) > 1 else values[0]
            for name, values in data.to_dict(flat=False).items()
        }


def account(**options: Any) -> fields.String:
    """Returns a field for the e-mail address of a user, converted to lower case so that its case does not matter."""
    return validators.email(pre_load=[trim, lower], **options)


def _existing_password(**options: Any) -> fields.String:
    """Returns a field for a password to verify. Only its length is bounded, so that a misspelt one is answered as wrong
    and not as invalid.
    """
    return validators.string(1, passwords.MAX_LENGTH, required=True, load_only=True, **options)


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)  # refuses paths outside of its database
    except (LookupError, OSError, ValueError):
        return False
    return True


class LoginSchema(StrictSchema):
    """Credentials of a user."""

    email = account(required=True, metadata=about("E-mail address of the user", "asha@example.com"))
    password = _existing_password(metadata=about("Password of the user", "seven lamps by the ghat"))


class PasswordChangeSchema(StrictSchema):
    """A change of password. The new one must be long; there are no rules of composition (NIST SP 800-63B, 5.1.1.2)."""

    current_password = _existing_password(
        data_key="currentPassword", metadata=about("Current password", "seven lamps by the ghat")
    )
    new_password = validators.string(
        passwords.MIN_LENGTH,
        passwords.MAX_LENGTH,
        data_key="newPassword",
        required=True,
        load_only=True,
        metadata=about("New password. Must differ, and must not be a common one", "nine boats upriver"),
    )

    @validates_schema
    def _refuse_the_same(self, data: dict[str, Any], **_: Any) -> None:
        if data["new_password"] == data["current_password"]:
            raise Invalid("must differ from the current password.", "newPassword")


class ProfileSchema(StrictSchema):
    """The profile of a user. With `partial=True` a change of some fields."""

    name = validators.string(1, 100, pre_load=[trim], required=True)
    email = account(required=True)
    phone = validators.phone(load_default=None)
    time_zone = validators.string(
        1,
        64,
        validators.require(_is_time_zone, "must be a time zone such as Asia/Kolkata."),
        data_key="timeZone",
        required=True,
    )


class PaginationSchema(StrictSchema):
    """Query parameters of a page."""

    limit = validators.whole_number(1, 1000, load_default=100, metadata=about("Maximum number of items", 50))
    cursor = validators.string(1, 512, metadata=about("`next` of the previous page. Repeat the filters of that page"))


class _RecordsSchema(PaginationSchema):
    """Filters that all lists of records have. Names are those of columns."""

    client_id = validators.uuid(data_key="clientId", metadata=about("Only records of this client", UUID_EXAMPLE))
    since = validators.moment(metadata=about("Created at this time or later", MOMENT_EXAMPLE))
    until = validators.moment(metadata=about("Created before this time", "2026-11-23T00:00:00+05:30"))

    @validates_schema(skip_on_field_errors=False)
    def _refuse_empty_span(self, data: dict[str, Any], **_: Any) -> None:
        """Refuses an empty span of time, because an empty list would look as if nothing happened."""
        if "since" in data and "until" in data and data["until"] <= data["since"]:
            raise Invalid("must be later than since.", "until")


class CallsSchema(_RecordsSchema):
    """Query parameters of a list of calls."""

    status = validators.enum(CallStatus, metadata=about("Progress of the call, or how it ended", "completed"))
    direction = validators.enum(Direction, metadata=about("Direction from the client's point of view", "inbound"))
    phone_from = validators.phone(
        data_key="from", metadata=about("Number of the caller, in any common form", "+919876543210")
    )
    phone_to = validators.phone(data_key="to", metadata=about("Dialled number, in any common form", "+918047112345"))
    call_sid = validators.string(
        1, 128, data_key="callSid", metadata=about("CallSid: Exotel's id of the call", CALL_SID_EXAMPLE)
    )
    has_recording = validators.yes_or_no(
        data_key="hasRecording", metadata=about("Whether the call has a recording", True)
    )


class EventsSchema(_RecordsSchema):
    """Query parameters of a list of audit entries."""

    user_id = validators.uuid(data_key="userId", metadata=about("The user who acted", UUID_EXAMPLE))
    event_type = validators.enum(EventType, data_key="eventType", metadata=about("Type of the event", "CALL_STARTED"))
    severity = validators.enum(Severity, metadata=about("Severity of the event", "LOW"))
    status = validators.enum(EntryStatus, metadata=about("Whether the action succeeded", "success"))
    resource = validators.string(1, 64, metadata=about("Kind of the resource concerned", "call"))
    call_id = validators.uuid(data_key="callId", metadata=about("The call concerned", UUID_EXAMPLE))
    request_id = validators.string(
        1, 64, data_key="requestId", metadata=about("Id of the request", "1795339800000-k3v9x2mq7")
    )


class StatsSchema(StrictSchema):
    """Which days (UTC) to count: from `since`, before `until`. By default today is the last day."""

    client_id = validators.uuid(data_key="clientId", metadata=about("Only events of this client", UUID_EXAMPLE))
    since = validators.date(EARLIEST_DAY, metadata=about("First day. Default: 30 days before `until`", "2026-11-01"))
    until = validators.date(
        EARLIEST_DAY,
        load_default=lambda: clock.now().date() + timedelta(days=1),
        metadata=about("The day after the last day. Default: tomorrow", "2026-12-01"),
    )

    @validates_schema
    def _refuse_long_spans(self, data: dict[str, Any], **_: Any) -> None:
        span = data["until"] - data["since"] if "since" in data else timedelta(days=1)
        if not timedelta(0) < span <= MAX_SPAN:
            raise Invalid(f"must be 1 to {MAX_SPAN.days} days before until.", "since")


class CallNameSchema(Schema):
    """The call in a path."""

    name = fields.String(required=True, metadata=about("Id of the call, or its CallSid", CALL_SID_EXAMPLE))


class EventIdSchema(Schema):
    """The audit entry in a path."""

    event_id = fields.UUID(required=True, metadata=about("Id of the audit entry", UUID_EXAMPLE))


class MetricsFormatSchema(Schema):
    """Query parameters of the metrics."""

    format = fields.String(metadata=about("`prometheus` for the text format, regardless of `Accept`", "prometheus"))


class NewsSchema(Schema):
    """Exotel's parameters about a call, in any dialect. All other parameters are kept too."""

    class Meta:
        unknown = INCLUDE

    CallSid = fields.String(
        metadata=about(
            "Exotel's id of the call; also as `call_details[call_sid]`. Required",
            CALL_SID_EXAMPLE,
            pattern="^[A-Za-z0-9_-]{1,64}$",
        )
    )
    From = fields.String(
        metadata=about(
            "Number of the caller; also as `CallFrom`. Required for `call-start`, but may be empty", "09876543210"
        )
    )
    To = fields.String(metadata=about("Dialled number; also as `CallTo`. Required for `call-start`", "08047112345"))
    CallStatus = fields.String(
        metadata=about(
            "Progress of the call; also as `Status`, `EventType` and others. Required for `call-status`", "completed"
        )
    )


class HeartbeatSchema(Schema):
    """Exotel's parameters about the state of numbers. All other parameters are kept too."""

    class Meta:
        unknown = INCLUDE

    timestamp = fields.String(metadata=about("Time of the report", "2026-03-05T14:35:00+05:30"))
    status_type = fields.String(metadata=about("State of the numbers", "OK"))
