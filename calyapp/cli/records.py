"""What the commands that read calls and audit entries share: filters as options, pages, and the audit of reads.

Options are generated from the schemas of the API, so that there is one description of each filter.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any
from uuid import UUID

import click
from marshmallow import Schema, fields, missing

from calyapp import validation
from calyapp.access.principal import COMMAND_LINE
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.cli.command import Command, services
from calyapp.cli.output import print_record, print_rows
from calyapp.cli.parameters import Moment, PhoneNumber
from calyapp.cli.references import CLIENT, USER
from calyapp.db import tenancy
from calyapp.db.keyset import Row
from calyapp.db.tenancy import Tenant
from calyapp.errors import ValidationError
from calyapp.web.api.cursors import Cursors, ReadPage
from calyapp.web.schemas.requests import PaginationSchema

_MAX_CHOICES_SHOWN = 10
_OPTIONS = {"client_id": "--client", "user_id": "--user"}
"""The options that are not named after their field."""
_TYPES: dict[str, click.ParamType[Any]] = {
    "client_id": CLIENT,
    "user_id": USER,
    "since": Moment(),
    "until": Moment(),
    "phone_from": PhoneNumber(),
    "phone_to": PhoneNumber(),
}


def filtered_by(schema: type[Schema]) -> Callable[[Command], Command]:
    """Adds an option for each field of the schema. The command gets the loaded values as `filters`.

    A value that the schema refuses raises `click.UsageError`, which names the option.
    """
    fields_by_name = schema().load_fields
    in_order = sorted(fields_by_name, key=lambda name: name in PaginationSchema().load_fields)

    def decorate(command: Command) -> Command:
        @wraps(command)
        def filtered(**options: Any) -> Any:
            values = {name: value for name in fields_by_name if (value := options.pop(name)) is not None}
            return command(filters=_loaded(schema(), values), **options)

        decorated: Any = filtered
        for name in reversed(in_order):
            decorated = _option(name, fields_by_name[name])(decorated)
        return decorated  # type: ignore[no-any-return]  # wraps keeps the type

    return decorate


def tenant_of(client_id: UUID | None) -> Tenant:
    """Returns the client, or all clients for None. Raises `NotFoundError` for an unknown client."""
    return services().clients.get(client_id).id if client_id else tenancy.ALL


def print_page(
    name: str,
    filters: Mapping[str, Any],
    read: ReadPage,
    show: Callable[[Row], dict[str, Any]],
    row: Callable[[dict[str, Any]], dict[str, Any]],
    as_json: bool,
) -> None:
    """Prints a page of the API's list of this name: as the API returns it, or as a table of what `row` returns."""
    tenant = tenant_of(filters.get("client_id"))
    page = Cursors(services().settings.secret_key.reveal()).page(name, tenant, filters, read, show)
    audit_access(tenant, name)
    if as_json:
        print_record(page, as_json)
        return
    print_rows([row(item) for item in page["items"]], as_json)
    if page["next"]:
        click.echo(f"For the next page, repeat the command with --cursor {page['next']}", err=True)


def audit_access(tenant: Tenant | None, name: str) -> None:
    """Audits that the records of one client were read, as the API does for admins and auditors."""
    if isinstance(tenant, UUID):
        entry = Entry.now(
            EventType.DATA_ACCESSED,
            "A client's records were read",
            client_id=tenant,
            resource="command",
            resource_id=name.replace(".", " "),
            metadata={"via": COMMAND_LINE.via},
        )
        services().access_audit_log.record(("accessed", name, str(tenant)), entry)


def client_names() -> dict[str, str]:
    """Returns the name of each client, by its id."""
    return {str(client.id): client.name for client in services().clients.all()}


def with_client_name(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the record with the name of its client after the id."""
    name = client_names().get(record["clientId"])
    client = f"{record['clientId']} ({name})" if name else record["clientId"]
    return {**record, "clientId": client}


def _option(name: str, field: fields.Field[Any]) -> Callable[[Any], Any]:
    type_ = _type(name, field)
    return click.option(
        _option_name(name) + (_negative_option(name) if type_ is None else ""),
        name,
        type=type_,
        default=None if field.load_default is missing else field.load_default,
        show_default=True,
        metavar=_metavar(name, type_.choices) if isinstance(type_, click.Choice) else None,
        help=f"{field.metadata['description']}.",
    )


def _type(name: str, field: fields.Field[Any]) -> click.ParamType[Any] | None:
    """Returns the type with the best error message for the field, or None for a flag. The schema validates again."""
    if isinstance(field, fields.Boolean):
        return None
    if isinstance(field, fields.Enum):
        return click.Choice([str(value) for value in field.enum], case_sensitive=False)
    by_field_type = {fields.UUID: click.UUID, fields.Integer: click.INT}
    return _TYPES.get(name) or by_field_type.get(type(field), click.STRING)


def _option_name(name: str) -> str:
    return _OPTIONS.get(name, f"--{name.removeprefix('phone_').replace('_', '-')}")


def _negative_option(name: str) -> str:
    return f"/--no-{name.removeprefix('has_').replace('_', '-')}"


def _metavar(name: str, choices: Sequence[str]) -> str:
    return f"[{'|'.join(choices)}]" if len(choices) <= _MAX_CHOICES_SHOWN else name.rpartition("_")[2].upper()


def _loaded(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    keys = {name: field.data_key or name for name, field in schema.load_fields.items()}
    options = {keys[name]: _option_name(name) for name in keys}
    try:
        return validation.load(schema, {keys[name]: _text(value) for name, value in values.items()})
    except ValidationError as error:
        messages = [
            f"{options.get(name, name)} {message}"
            for name, of_field in (error.details or {}).items()
            for message in of_field
        ]
        raise click.UsageError(" ".join(messages)) from None


def _text(value: Any) -> str:
    """Returns the value as it is written in a query string."""
    return str(value).lower() if isinstance(value, bool) else str(value)
