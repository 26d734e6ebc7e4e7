"""Schemas of answers: the base class, fields, errors, users and sessions. Views dump through them.

Names are those of columns and attributes; in JSON they are in camel case. `record_responses` and `service_responses`
contain the other schemas.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from calyapp import clock
from calyapp.access.principal import PrincipalKind, Role
from calyapp.web.schemas.operations import MOMENT_EXAMPLE, UUID_EXAMPLE, about

REQUEST_ID_EXAMPLE = "1795339800000-k3v9x2mq7"


class BaseResponseSchema(Schema):
    """Base class of all answers. Allows further fields, which later versions may have."""

    class Meta:
        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Sets the field's name in JSON to camel case, unless the field declares another."""
        first, *others = field_name.split("_")
        field_obj.data_key = field_obj.data_key or first + "".join(map(str.capitalize, others))


class _Moment(fields.AwareDateTime):
    def _serialize(self, value: dt.datetime | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else clock.iso(value)


def text(description: str, *examples: str | None, pattern: str | None = None, **options: Any) -> fields.String:
    """Returns a field for a text."""
    metadata = about(description, *examples, **({"pattern": pattern} if pattern else {}))
    return fields.String(metadata=metadata, **{"required": True, **options})


def word(words: Iterable[str], description: str, **options: Any) -> fields.String:
    """Returns a field for one of the words."""
    return text(description, validate=validate.OneOf([str(one) for one in words]), **options)


def uuid(description: str, **options: Any) -> fields.UUID:
    """Returns a field for a UUID."""
    return fields.UUID(required=True, metadata=about(description, UUID_EXAMPLE), **options)


def moment(description: str, **options: Any) -> fields.AwareDateTime:
    """Returns a field for a time in UTC with milliseconds."""
    return _Moment(required=True, metadata=about(description, MOMENT_EXAMPLE), **options)


def count(description: str, example: int, **options: Any) -> fields.Integer:
    """Returns a field for a whole number, 0 or more."""
    not_negative = validate.Range(min=0)
    return fields.Integer(required=True, validate=not_negative, metadata=about(description, example), **options)


def day(description: str) -> fields.Date:
    """Returns a field for a day in UTC."""
    return fields.Date(required=True, metadata=about(description, "2026-11-22"))


def counts(description: str, example: str) -> fields.Dict:
    """Returns a field for counts by name. Names with a count of 0 are absent."""
    metadata = about(description, {example: 42})
    return fields.Dict(keys=fields.String(), values=fields.Integer(), required=True, metadata=metadata)


def truth(description: str, example: bool) -> fields.Boolean:
    """Returns a field for true or false."""
    return fields.Boolean(required=True, metadata=about(description, example))


def free(description: str, *examples: Any, **options: Any) -> fields.Dict:
    """Returns a field for an object whose members are not specified."""
    return fields.Dict(required=True, metadata=about(description, *examples), **options)


def listed(schema: type[Schema], description: str) -> fields.List[Any]:
    """Returns a field for a list of objects."""
    return fields.List(fields.Nested(schema), required=True, metadata=about(description))


def nested(schema: type[Schema]) -> fields.Nested:
    """Returns a field for an object."""
    return fields.Nested(schema, required=True)


def _own_client(description: str) -> fields.UUID:
    return uuid(f"{description}. null means all clients", allow_none=True)


class ErrorContentSchema(BaseResponseSchema):
    """The content of an error."""

    code = text("Kind of error, for programs", "VALIDATION_ERROR")
    message = text("Description of the error, for people", "limit must be a whole number from 1 to 1000.")
    timestamp = moment("Time of the error")
    request_id = text(
        "The id of the request, as in `X-Request-ID`. Quote it when you report a problem", REQUEST_ID_EXAMPLE
    )
    details = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata=about("Errors of each field", {"limit": ["must be a whole number from 1 to 1000."]}, type="object"),
    )
    retry_after = fields.Integer(metadata=about("Seconds to wait before the next request", 60))
    stack = text("Stack trace; only in development", required=False)


class ErrorSchema(BaseResponseSchema):
    """An error."""

    error = nested(ErrorContentSchema)


class DoneSchema(BaseResponseSchema):
    """The request succeeded."""

    success = truth("Always true", True)


class UserSchema(BaseResponseSchema):
    """A user."""

    id = uuid("Id of the user")
    email = text("E-mail address, used to sign in", "asha@example.com")
    role = word(Role, "Role, which decides what is allowed")
    client_id = _own_client("The only client whose records are visible")


class SessionSchema(BaseResponseSchema):
    """A new session."""

    token = text("Token for the header `Authorization: Bearer <token>`. It cannot be read again")
    expires_at = moment("Latest end of the session. It also ends half an hour after its last use")
    user = nested(UserSchema)


class PrincipalSchema(BaseResponseSchema):
    """The user or API key that sends the request."""

    kind = word(PrincipalKind, "A signed-in user, or an API key")
    id = uuid("Id of the user or API key")
    email = text("E-mail address of the user; absent for an API key", "asha@example.com", required=False)
    name = text("Name of the API key; absent for a user", "Nightly report", required=False)
    role = word(Role, "Role, which decides what is allowed")
    client_id = _own_client("The only client whose records are visible")
