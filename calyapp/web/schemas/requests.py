"""What people and programs send to the records API and the console, field by field. What is not named is refused."""

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
    """Refuses fields that it does not know. Takes a JSON object, or the MultiDict of a query string or a form."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "is not a known field.", "type": "must be an object."}  # noqa: RUF012 — as its parent

    @pre_load
    def _keep_repeated(self, data: Any, **_: Any) -> Any:
        """A repeated name is a list, which a field for one value refuses: to pick one of them would be to guess."""
        if not isinstance(data, MultiDict):
            return data
        lists = {field.data_key or name for name, field in self.load_fields.items() if isinstance(field, fields.List)}
        return {
            name: values if name in lists or len(values) > 1 else values[0]
            for name, values in data.to_dict(flat=False).items()
        }


def account(**options: Any) -> fields.String:
    """The e-mail address that somebody signs in with: in small letters, so that one address is one account."""
    return validators.email(pre_load=[trim, lower], **options)


def _known_password(**options: Any) -> fields.String:
    """A password to compare: only bounded, so that whoever misspells it hears that it is wrong, not how it looks."""
    return validators.string(1, passwords.MAX_LENGTH, required=True, load_only=True, **options)


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)  # refuses names that lead out of its database
    except (LookupError, OSError, ValueError):
        return False
    return True


class LoginSchema(StrictSchema):
    """Signing in."""

    email = account(required=True, metadata=about("Whose session it will be", "asha@example.com"))
    password = _known_password(metadata=about("The user's password", "seven lamps by the ghat"))


class PasswordChangeSchema(StrictSchema):
    """A new password is long; what it is composed of is nobody's business (NIST SP 800-63B, 5.1.1.2)."""

    current_password = _known_password(
        data_key="currentPassword", metadata=about("The password as it is", "seven lamps by the ghat")
    )
    new_password = validators.string(
        passwords.MIN_LENGTH,
        passwords.MAX_LENGTH,
        data_key="newPassword",
        required=True,
        load_only=True,
        metadata=about("The password as it shall be: another, and none that attackers try first", "nine boats upriver"),
    )

    @validates_schema
    def _refuse_the_same(self, data: dict[str, Any], **_: Any) -> None:
        if data["new_password"] == data["current_password"]:
            raise Invalid("must differ from the current password.", "newPassword")


class ProfileSchema(StrictSchema):
    """What users say of themselves; with `partial=True` a change of some of it."""

    name = validators.string(1, 100, pre_load=[trim], required=True)
    email = account(required=True)
    phone = validators.phone(load_default=None)
    time_zone = validators.string(
        1,
        64,
        validators.demand(_is_time_zone, "must be a time zone such as Asia/Kolkata."),
        data_key="timeZone",
        required=True,
    )


class PaginationSchema(StrictSchema):
    """Which part of a list, and how much of it."""

    limit = validators.whole_number(1, 1000, load_default=100, metadata=about("How many at most", 50))
    cursor = validators.string(
        1, 512, metadata=about("`next` of the page before; the filters must be those of that page")
    )


class _RecordsSchema(PaginationSchema):
    """What all lists of records can be narrowed by. Names are those of columns."""

    client_id = validators.uuid(data_key="clientId", metadata=about("Of this client", UUID_EXAMPLE))
    since = validators.moment(metadata=about("Created then or later", MOMENT_EXAMPLE))
    until = validators.moment(metadata=about("Created before", "2026-11-23T00:00:00+05:30"))

    @validates_schema(skip_on_field_errors=False)
    def _refuse_no_time(self, data: dict[str, Any], **_: Any) -> None:
        """An empty list would read as if nothing had happened."""
        if "since" in data and "until" in data and data["until"] <= data["since"]:
            raise Invalid("must be later than since.", "until")


class CallsSchema(_RecordsSchema):
    """Which calls."""

    status = validators.enum(CallStatus, metadata=about("How far it has come, or how it ended", "completed"))
    direction = validators.enum(Direction, metadata=about("Whether the client was rung or rang", "inbound"))
    phone_from = validators.phone(data_key="from", metadata=about("Who rang; in any common form", "+919876543210"))
    phone_to = validators.phone(data_key="to", metadata=about("Who was rung; in any common form", "+918047112345"))
    call_sid = validators.string(
        1, 128, data_key="callSid", metadata=about("Exotel's name for the call", CALL_SID_EXAMPLE)
    )
    has_recording = validators.yes_or_no(data_key="hasRecording", metadata=about("Whether it was recorded", True))


class EventsSchema(_RecordsSchema):
    """Which audit entries."""

    user_id = validators.uuid(data_key="userId", metadata=about("By this user", UUID_EXAMPLE))
    event_type = validators.enum(EventType, data_key="eventType", metadata=about("What happened", "CALL_STARTED"))
    severity = validators.enum(Severity, metadata=about("How much it matters", "LOW"))
    status = validators.enum(EntryStatus, metadata=about("How it ended", "success"))
    resource = validators.string(1, 64, metadata=about("The kind of thing that it happened to", "call"))
    call_id = validators.uuid(data_key="callId", metadata=about("About this call", UUID_EXAMPLE))
    request_id = validators.string(
        1, 64, data_key="requestId", metadata=about("In this request", "1795339800000-k3v9x2mq7")
    )


class StatsSchema(StrictSchema):
    """Which days (UTC) of the trail are counted: `since` is, `until` no more; unless told, today is the last."""

    client_id = validators.uuid(data_key="clientId", metadata=about("Of this client", UUID_EXAMPLE))
    since = validators.date(EARLIEST_DAY, metadata=about("The first day; 30 before `until` unless told", "2026-11-01"))
    until = validators.date(
        EARLIEST_DAY,
        load_default=lambda: clock.now().date() + timedelta(days=1),
        metadata=about("The day after the last; tomorrow unless told", "2026-12-01"),
    )

    @validates_schema
    def _refuse_long_spans(self, data: dict[str, Any], **_: Any) -> None:
        span = data["until"] - data["since"] if "since" in data else timedelta(days=1)
        if not timedelta(0) < span <= MAX_SPAN:
            raise Invalid(f"must be at least one day before until, and at most {MAX_SPAN.days}.", "since")


class CallNameSchema(Schema):
    """Which call, in a path."""

    name = fields.String(required=True, metadata=about("Its id, or Exotel's CallSid", CALL_SID_EXAMPLE))


class EventIdSchema(Schema):
    """Which audit entry, in a path."""

    event_id = fields.UUID(required=True, metadata=about("Its id", UUID_EXAMPLE))


class MetricsFormatSchema(Schema):
    """How to be told figures."""

    format = fields.String(metadata=about("`prometheus`, whatever `Accept` says", "prometheus"))


class NewsSchema(Schema):
    """What Exotel tells of a call, in any of its dialects; every other field is kept, too."""

    class Meta:
        unknown = INCLUDE

    CallSid = fields.String(
        metadata=about(
            "Exotel's name for the call, or `call_details[call_sid]`; needed",
            CALL_SID_EXAMPLE,
            pattern="^[A-Za-z0-9_-]{1,64}$",
        )
    )
    From = fields.String(
        metadata=about("Who rings, or `CallFrom`; needed for `call-start`, but may be empty", "09876543210")
    )
    To = fields.String(metadata=about("Who is rung, or `CallTo`; needed for `call-start`", "08047112345"))
    CallStatus = fields.String(
        metadata=about("How far the call is, or `Status`, `EventType`…; needed for `call-status`", "completed")
    )


class HeartbeatSchema(Schema):
    """What Exotel tells of its numbers; every other field is kept, too."""

    class Meta:
        unknown = INCLUDE

    timestamp = fields.String(metadata=about("When", "2026-03-05T14:35:00+05:30"))
    status_type = fields.String(metadata=about("How the numbers are", "OK"))
