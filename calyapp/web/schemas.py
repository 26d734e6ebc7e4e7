"""What people and programs send to the records API and the console, field by field. What is not named is refused."""

from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import RAISE, Schema, fields, pre_load, validates_schema
from marshmallow import ValidationError as Invalid
from werkzeug.datastructures import MultiDict

from calyapp.access import passwords
from calyapp.audit.events import EventType
from calyapp.audit.trail import Outcome
from calyapp.calls.state import Direction, Status
from calyapp.errors import Severity
from calyapp.web import validators
from calyapp.web.sanitizers import lower, trim


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
    return validators.string(1, passwords.LONGEST, required=True, load_only=True, **options)


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)  # refuses names that lead out of its database
    except (LookupError, OSError, ValueError):
        return False
    return True


class LoginSchema(StrictSchema):
    """Signing in."""

    email = account(required=True)
    password = _known_password()


class PasswordChangeSchema(StrictSchema):
    """A new password is long; what it is composed of is nobody's business (NIST SP 800-63B, 5.1.1.2)."""

    current_password = _known_password(data_key="currentPassword")
    new_password = validators.string(
        passwords.SHORTEST, passwords.LONGEST, data_key="newPassword", required=True, load_only=True
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

    limit = validators.whole_number(1, 1000, load_default=100)
    cursor = validators.string(1, 512, load_default=None)


class _RecordsSchema(PaginationSchema):
    """What all lists of records can be narrowed by. Names are those of columns."""

    client_id = validators.uuid(data_key="clientId")
    since = validators.moment()
    until = validators.moment()

    @validates_schema(skip_on_field_errors=False)
    def _refuse_no_time(self, data: dict[str, Any], **_: Any) -> None:
        """An empty list would read as if nothing had happened."""
        if "since" in data and "until" in data and data["until"] <= data["since"]:
            raise Invalid("must be later than since.", "until")


class CallsSchema(_RecordsSchema):
    """Which calls."""

    status = validators.enum(Status)
    direction = validators.enum(Direction)
    phone_from = validators.phone(data_key="from")
    phone_to = validators.phone(data_key="to")
    call_sid = validators.string(1, 128, data_key="callSid")
    has_recording = validators.yes_or_no(data_key="hasRecording")


class EventsSchema(_RecordsSchema):
    """Which audit entries."""

    user_id = validators.uuid(data_key="userId")
    event_type = validators.enum(EventType, data_key="eventType")
    severity = validators.enum(Severity)
    status = validators.enum(Outcome)
    resource = validators.string(1, 64)
    call_id = validators.uuid(data_key="callId")
    request_id = validators.string(1, 64, data_key="requestId")
