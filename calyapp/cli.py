"""`flask caly …`: the operators' commands. Exit code 0 fine, 1 finding, 2 usage."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

import click
import orjson
from flask import Flask, current_app
from flask.cli import AppGroup

from calyapp import phone
from calyapp.clients.store import Client
from calyapp.config import AppEnv
from calyapp.errors import AppError
from calyapp.exotel import rebuild
from calyapp.services import Services

DEMO_NAME = "Demo"
DEMO_NUMBER = "+918047112345"

Command = TypeVar("Command", bound=Callable[..., Any])
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
base_url = click.option(
    "--base-url",
    default=lambda: f"http://{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}",
    show_default="http://HOST:PORT",
    help="The address under which Exotel reaches this service.",
)

caly = AppGroup("caly", help="Operate Caly.")
clients = AppGroup("clients", help="Who may be called: clients, their numbers and their webhook keys.")
numbers = AppGroup("numbers", help="The numbers of a client.")
calls = AppGroup("calls", help="The record of calls.")
caly.add_command(clients)
caly.add_command(calls)
clients.add_command(numbers)


def install(app: Flask) -> None:
    """Make the commands known to `flask`."""
    app.cli.add_command(caly)


def services() -> Services:
    """The parts of this process."""
    parts: Services = current_app.extensions["caly"]
    return parts


def explains_errors(command: Command) -> Command:
    """An error of ours ends the command with its sentence and exit code 1, not with a traceback."""

    @wraps(command)
    def explained(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except AppError as error:
            raise click.ClickException(error.message) from None

    return explained  # type: ignore[return-value]  # the same signature, by wraps


class ClientName(click.ParamType[str]):
    """A name that people can read and tell from another."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = " ".join(value.split())
        return (
            text if 0 < len(text) <= 200 and text.isprintable() else self.fail("must be 1 to 200 letters.", param, ctx)
        )


class PhoneNumber(click.ParamType[str]):
    """A telephone number in any of its shapes, taken as E.164."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return phone.e164(value) or self.fail(f"{value!r} is not a telephone number.", param, ctx)


@clients.command()
@click.option("--name", type=ClientName(), required=True, help="A name that no other client has.")
@click.option("--number", "given", type=PhoneNumber(), multiple=True, help="A number of theirs; repeatable.")
@base_url
@as_json
@explains_errors
def add(name: str, given: tuple[str, ...], base_url: str, as_json: bool) -> None:
    """Add a client and print its webhook URL."""
    _print_with_key(services().clients.add(name, given), base_url, as_json)


@clients.command("list")
@as_json
@explains_errors
def list_clients(as_json: bool) -> None:
    """List all clients."""
    _print_rows([_summary(client) for client in services().clients.all()], as_json)


@clients.command()
@click.argument("client_id", type=click.UUID)
@click.option("--with-key", is_flag=True, help="Print the webhook key and URL too. They are secrets.")
@base_url
@as_json
@explains_errors
def show(client_id: UUID, with_key: bool, base_url: str, as_json: bool) -> None:
    """Show one client."""
    client = services().clients.get(client_id)
    if with_key:
        _print_with_key(client, base_url, as_json)
    else:
        _print_record(_summary(client), as_json)


@clients.command()
@click.argument("client_id", type=click.UUID)
@as_json
@explains_errors
def disable(client_id: UUID, as_json: bool) -> None:
    """Refuse a client's deliveries from now on; its records stay."""
    _print_record(_summary(services().clients.disable(client_id)), as_json)


@clients.command("rotate-key")
@click.argument("client_id", type=click.UUID)
@click.option("--retire", is_flag=True, help="End the older keys instead of making a new one.")
@base_url
@as_json
@explains_errors
def rotate_key(client_id: UUID, retire: bool, base_url: str, as_json: bool) -> None:
    """Make a new webhook key beside the old one; once Exotel uses it, --retire the old one."""
    store = services().clients
    _print_with_key(store.retire_keys(client_id) if retire else store.rotate_key(client_id), base_url, as_json)


@numbers.command("add")
@click.argument("client_id", type=click.UUID)
@click.argument("number", type=PhoneNumber())
@as_json
@explains_errors
def add_number(client_id: UUID, number: str, as_json: bool) -> None:
    """Give a client a number."""
    _print_record(_summary(services().clients.add_number(client_id, number)), as_json)


@numbers.command("remove")
@click.argument("client_id", type=click.UUID)
@click.argument("number", type=PhoneNumber())
@as_json
@explains_errors
def remove_number(client_id: UUID, number: str, as_json: bool) -> None:
    """Take a number from a client."""
    _print_record(_summary(services().clients.remove_number(client_id, number)), as_json)


@calls.command("rebuild")
@click.option("--client", "client_id", type=click.UUID, help="Of this client only.")
@click.option("--since", type=click.DateTime(), help="Changed since this moment (UTC) only.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@as_json
@explains_errors
def rebuild_calls(client_id: UUID | None, since: datetime | None, dry_run: bool, as_json: bool) -> None:
    """Fold calls again from the ledger of their deliveries. Exit code 1 if a dry run finds a difference."""
    moment = since.replace(tzinfo=UTC) if since else None
    folded = rebuild.rebuild(services().database.records, client_id=client_id, since=moment, dry_run=dry_run)
    with click.progressbar(folded, label="calls", file=sys.stderr, show_pos=True) as calls_in_turn:
        differences = [difference for difference in calls_in_turn if difference]
    _print_rows([_difference(difference) for difference in differences], as_json)
    if dry_run and differences:
        raise SystemExit(1)


@caly.command()
@base_url
@explains_errors
def demo(base_url: str) -> None:
    """Make sure that a demo client exists, and print a call to try (development only)."""
    if services().settings.app_env is AppEnv.PRODUCTION:
        raise click.ClickException("There is no demo client in production; use `flask caly clients add`.")
    store = services().clients
    client = next((known for known in store.all() if known.name == DEMO_NAME), None)
    client = client or store.add(DEMO_NAME, [DEMO_NUMBER])
    url = _with_key(client, base_url)["webhookUrl"]
    number = client.numbers[0] if client.numbers else DEMO_NUMBER
    click.echo(
        f"\nDemo number:  {number}\nWebhook URL:  {url}\n\nOnce it listens, try a call:\n\n"
        f"  curl '{url}' -d CallSid=demo-1 -d From=09876543210 -d To={number.removeprefix('+')}\n"
    )


def _difference(difference: rebuild.Difference) -> dict[str, Any]:
    changes = [f"{name}: {before} → {after}" for name, (before, after) in difference.fields.items()]
    return {"clientId": str(difference.client_id), "callSid": difference.call_sid, "changes": changes}


def _summary(client: Client) -> dict[str, Any]:
    return {
        "id": str(client.id),
        "name": client.name,
        "numbers": list(client.numbers),
        "keyVersion": client.key_version,
        "oldestKeyVersion": client.oldest_key_version,
        "disabled": client.disabled_at is not None,
    }


def _with_key(client: Client, base_url: str) -> dict[str, Any]:
    key = services().webhook_keys.mint(client.id, client.key_version)
    return {
        "id": str(client.id),
        "name": client.name,
        "numbers": list(client.numbers),
        "webhookKey": key,
        "webhookUrl": f"{base_url.rstrip('/')}/webhooks/exotel/call-start?key={key}",
    }


def _print_with_key(client: Client, base_url: str, as_json: bool) -> None:
    _print_record(_with_key(client, base_url), as_json)


def _print_record(record: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(record))
        return
    width = max(map(len, record))
    for name, value in record.items():
        click.echo(f"{name:<{width}}  {_cell(value)}")


def _print_rows(rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    records = list(rows)
    if as_json:
        click.echo(orjson.dumps(records))
    elif not records:
        click.echo("None.")
    else:
        _print_table([list(records[0]), *([_cell(value) for value in row.values()] for row in records)])


def _print_table(lines: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
