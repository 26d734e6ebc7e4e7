"""What the commands share that read calls and audit entries: the API's filters as options, its pages, and the trail.

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

_MAX_WORDS_SHOWN = 10
_OPTIONS = {"client_id": "--client", "user_id": "--user"}
"""By field, where the option is not named after it."""
_TYPES: dict[str, click.ParamType[Any]] = {
    "client_id": CLIENT,
    "user_id": USER,
    "since": Moment(),
    "until": Moment(),
    "phone_from": PhoneNumber(),
    "phone_to": PhoneNumber(),
}


def filtered_by(schema: type[Schema]) -> Callable[[Command], Command]:
    """Give a command an option for each field of the schema; what was given comes loaded as `filters`.

    A value that the schema refuses ends the command with a usage error that names the option.
    """
    described = schema().load_fields
    in_order = sorted(described, key=lambda name: name in PaginationSchema().load_fields)

    def decorate(command: Command) -> Command:
        @wraps(command)
        def filtered(**options: Any) -> Any:
            given = {name: value for name in described if (value := options.pop(name)) is not None}
            return command(filters=_loaded(schema(), given), **options)

        decorated: Any = filtered
        for name in reversed(in_order):
            decorated = _option(name, described[name])(decorated)
        return decorated  # type: ignore[no-any-return]  # a command by wraps

    return decorate


def tenant_of(client_id: UUID | None) -> Tenant:
    """The client that is asked for, or all. Raises `NotFoundError` if there is no such client."""
    return services().clients.get(client_id).id if client_id else tenancy.ALL


def print_page(
    name: str,
    filters: Mapping[str, Any],
    read: ReadPage,
    show: Callable[[Row], dict[str, Any]],
    row: Callable[[dict[str, Any]], dict[str, Any]],
    as_json: bool,
) -> None:
    """Print a page of the list that the API knows by this name: as the API shows it, or as a table of `row`."""
    tenant = tenant_of(filters.get("client_id"))
    page = Cursors(services().settings.secret_key.reveal()).page(name, tenant, filters, read, show)
    note_access(tenant, name)
    if as_json:
        print_record(page, as_json)
        return
    print_rows([row(item) for item in page["items"]], as_json)
    if page["next"]:
        click.echo(f"There are more. For the next page, repeat the command with --cursor {page['next']}", err=True)


def note_access(read: Tenant | None, name: str) -> None:
    """Put on the trail that one client's records were read, as the API does for admins and auditors."""
    if isinstance(read, UUID):
        entry = Entry.now(
            EventType.DATA_ACCESSED,
            "A client's records were read",
            client_id=read,
            resource="command",
            resource_id=name.replace(".", " "),
            metadata={"via": COMMAND_LINE.via},
        )
        services().access_audit_log.record(("accessed", name, str(read)), entry)


def client_names() -> dict[str, str]:
    """The name of each client, by its id."""
    return {str(client.id): client.name for client in services().clients.all()}


def with_client_name(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the API, with the name of its client behind the id."""
    name = client_names().get(record["clientId"])
    client = f"{record['clientId']} ({name})" if name else record["clientId"]
    return {**record, "clientId": client}


def _option(name: str, field: fields.Field[Any]) -> Callable[[Any], Any]:
    type_ = _type(name, field)
    return click.option(
        _option_name(name) + (_no_option(name) if type_ is None else ""),
        name,
        type=type_,
        default=None if field.load_default is missing else field.load_default,
        show_default=True,
        metavar=_metavar(name, type_.choices) if isinstance(type_, click.Choice) else None,
        help=f"{field.metadata['description']}.",
    )


def _type(name: str, field: fields.Field[Any]) -> click.ParamType[Any] | None:
    """What explains a wrong value best; the schema decides in the end. None for a flag."""
    if isinstance(field, fields.Boolean):
        return None
    if isinstance(field, fields.Enum):
        return click.Choice([str(word) for word in field.enum], case_sensitive=False)
    of_kind = {fields.UUID: click.UUID, fields.Integer: click.INT}
    return _TYPES.get(name) or of_kind.get(type(field), click.STRING)


def _option_name(name: str) -> str:
    return _OPTIONS.get(name, f"--{name.removeprefix('phone_').replace('_', '-')}")


def _no_option(name: str) -> str:
    return f"/--no-{name.removeprefix('has_').replace('_', '-')}"


def _metavar(name: str, words: Sequence[str]) -> str:
    return f"[{'|'.join(words)}]" if len(words) <= _MAX_WORDS_SHOWN else name.rpartition("_")[2].upper()


def _loaded(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    keys = {name: field.data_key or name for name, field in schema.load_fields.items()}
    options = {keys[name]: _option_name(name) for name in keys}
    try:
        return validation.load(schema, {keys[name]: _text(value) for name, value in given.items()})
    except ValidationError as error:
        wrongs = [
            f"{options.get(name, name)} {wrong}" for name, some in (error.details or {}).items() for wrong in some
        ]
        raise click.UsageError(" ".join(wrongs)) from None


def _text(value: Any) -> str:
    """As it stands in a query string."""
    return str(value).lower() if isinstance(value, bool) else str(value)
