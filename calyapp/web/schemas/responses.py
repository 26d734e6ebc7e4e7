"""What the outside is answered, field by field: views dump through such schemas, and the OpenAPI document shows them.

Names are those of columns and attributes; outside they are written in camel case. Here stands what all answers are made
of, errors, and who somebody is; `record_answers` and `service_answers` have the rest.
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
    """Says nothing of members that it does not name: a later version may have more."""

    class Meta:
        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Written in camel case, unless the field says otherwise."""
        first, *others = field_name.split("_")
        field_obj.data_key = field_obj.data_key or first + "".join(map(str.capitalize, others))


class _Moment(fields.AwareDateTime):
    def _serialize(self, value: dt.datetime | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else clock.iso(value)


def text(description: str, *examples: str | None, pattern: str | None = None, **options: Any) -> fields.String:
    """A text."""
    metadata = about(description, *examples, **({"pattern": pattern} if pattern else {}))
    return fields.String(metadata=metadata, **{"required": True, **options})


def word(words: Iterable[str], description: str, **options: Any) -> fields.String:
    """One of the words."""
    return text(description, validate=validate.OneOf([str(one) for one in words]), **options)


def uuid(description: str, **options: Any) -> fields.UUID:
    """A UUID."""
    return fields.UUID(required=True, metadata=about(description, UUID_EXAMPLE), **options)


def moment(description: str, **options: Any) -> fields.AwareDateTime:
    """A moment, in UTC, to the millisecond."""
    return _Moment(required=True, metadata=about(description, MOMENT_EXAMPLE), **options)


def count(description: str, example: int, **options: Any) -> fields.Integer:
    """A whole number, 0 or more."""
    at_least = validate.Range(min=0)
    return fields.Integer(required=True, validate=at_least, metadata=about(description, example), **options)


def day(description: str) -> fields.Date:
    """A day, in UTC."""
    return fields.Date(required=True, metadata=about(description, "2026-11-22"))


def counts(description: str, example: str) -> fields.Dict:
    """Whole numbers by what was counted; what there is none of is missing."""
    metadata = about(description, {example: 42})
    return fields.Dict(keys=fields.String(), values=fields.Integer(), required=True, metadata=metadata)


def truth(description: str, example: bool) -> fields.Boolean:
    """True or false."""
    return fields.Boolean(required=True, metadata=about(description, example))


def free(description: str, *examples: Any, **options: Any) -> fields.Dict:
    """An object whose members are not ours to name."""
    return fields.Dict(required=True, metadata=about(description, *examples), **options)


def listed(schema: type[Schema], description: str) -> fields.List[Any]:
    """Objects of one kind."""
    return fields.List(fields.Nested(schema), required=True, metadata=about(description))


def nested(schema: type[Schema]) -> fields.Nested:
    """An object of one kind."""
    return fields.Nested(schema, required=True)


def _own_client(description: str) -> fields.UUID:
    return uuid(f"{description}; null for all clients", allow_none=True)


class ErrorContentSchema(BaseResponseSchema):
    """What went wrong."""

    code = text("One word for the kind of error, for programs", "VALIDATION_ERROR")
    message = text("Sentences for people", "limit must be a whole number from 1 to 1000.")
    timestamp = moment("When it happened")
    request_id = text("As in `X-Request-ID`: what to name to those who run the service", REQUEST_ID_EXAMPLE)
    details = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata=about(
            "What is wrong with each field", {"limit": ["must be a whole number from 1 to 1000."]}, type="object"
        ),
    )
    retry_after = fields.Integer(metadata=about("In how many seconds to come back", 60))
    stack = text("Where it went wrong in the program; in development only", required=False)


class ErrorSchema(BaseResponseSchema):
    """The one shape of all errors."""

    error = nested(ErrorContentSchema)


class DoneSchema(BaseResponseSchema):
    """That it was done."""

    success = truth("Always true", True)


class UserSchema(BaseResponseSchema):
    """Somebody who signs in."""

    id = uuid("The user's id")
    email = text("The address that they sign in with", "asha@example.com")
    role = word(Role, "What they may")
    client_id = _own_client("The one client that they see")


class SessionSchema(BaseResponseSchema):
    """A session at its beginning."""

    token = text("For the header `Authorization: Bearer …`; shown this once")
    expires_at = moment("When it ends at the latest; half an hour after its last use it ends, too")
    user = nested(UserSchema)


class PrincipalSchema(BaseResponseSchema):
    """Who asks: a user with an address, or an API key with a name."""

    kind = word(PrincipalKind, "A person who signed in, or a program with a key")
    id = uuid("The id of the user or key")
    email = text("The user's address", "asha@example.com", required=False)
    name = text("The key's name", "Nightly report", required=False)
    role = word(Role, "What they may")
    client_id = _own_client("The one client that they see")
