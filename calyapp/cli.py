"""`flask caly …`: the operators' commands. Exit code 0 fine, 1 finding, 2 usage."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import click
import orjson
from flask import Flask, current_app
from flask.cli import AppGroup

from calyapp import clock, phone
from calyapp.calls import store as call_store
from calyapp.clients.store import Client, ClientStore
from calyapp.config import AppEnv
from calyapp.db import engine
from calyapp.db.engine import Database
from calyapp.errors import AppError
from calyapp.exotel import comparison, rebuild, simulator
from calyapp.exotel.comparison import Difference
from calyapp.exotel.flows import Delivery
from calyapp.exotel.simulator import Attempt, Exotel
from calyapp.services import Services
from calyapp.setting_kinds import DATABASE_URL, Secret

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


class Share(click.ParamType[float]):
    """A share of deliveries, written as a percentage."""

    name = "percentage"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        digits = value.removesuffix("%")
        fine = digits.isascii() and digits.isdecimal() and int(digits) <= 100
        return int(digits) / 100 if fine else self.fail(f"{value!r} is not between 0% and 100%.", param, ctx)


class DatabaseUrl(click.ParamType[Secret[str]]):
    """A PostgreSQL server, under the rules of the variable of that name."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Secret[str]:
        try:
            secret: Secret[str] = DATABASE_URL.read(value)
        except ValueError:
            self.fail(f"must be {DATABASE_URL.what}.", param, ctx)
        return secret


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
@click.option("--key", required=True, help="The client's webhook key. It is a secret.")
@click.option("--number", type=PhoneNumber(), required=True, help="The client's number.")
@click.option("--calls", "count", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--shuffle", is_flag=True, help="Send the deliveries in any order, across calls.")
@click.option("--duplicate", type=Share(), default="0%", show_default=True, help="So many are sent twice.")
@click.option("--drop", type=Share(), default="0%", show_default=True, help="So many are never sent.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=8, show_default=True, help="Requests at a time.")
@click.option("--seed", type=int, help="Play the same again; by chance if not given.")
@click.option(
    "--compress",
    type=click.FloatRange(1),
    default=1000,
    show_default=True,
    help="What was refused is sent again 5 and 15 minutes later, so many times faster than that.",
)
@click.option("--database-url", type=DatabaseUrl(), help="The server's database; that of the settings if not given.")
@as_json
@explains_errors
def simulate(
    base_url: str,
    key: str,
    number: str,
    count: int,
    shuffle: bool,
    duplicate: float,
    drop: float,
    concurrency: int,
    seed: int | None,
    compress: float,
    database_url: Secret[str] | None,
    as_json: bool,
) -> None:
    """Play Exotel against a server, then compare its calls with what it acknowledged. Exit code 1 on a difference."""
    if not simulator.is_address(base_url):
        raise click.UsageError("--base-url must be http://HOST or https://HOST, without user and query.")
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    chance = Random(seed)  # noqa: S311 # nosec B311 # to be played again, not to be secret
    passthru_url = f"{base_url.rstrip('/')}/webhooks/exotel/passthru?key={key}"
    with _database(database_url) as database:
        client = _owner(database, number)
        played = simulator.calls(count, number, passthru_url, clock.now(), chance)
        scheduled = simulator.schedule(played, chance, shuffle=shuffle, duplicate=duplicate, drop=drop)
        attempts = _play(Exotel(base_url, key, concurrency, compress), scheduled)
        with database.records.connection() as connection:
            rows = call_store.rows(connection, client.id, (call.call_sid for call in played))
    found = comparison.differences(played, attempts, rows, clock.now())
    _print_simulation(count, attempts, found, seed, as_json)
    if found or _unheard(attempts):
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


@contextmanager
def _database(given: Secret[str] | None) -> Iterator[Database]:
    """The database to compare with, for the length of the block."""
    if given is None:
        yield services().database
        return
    database = engine.database(replace(services().settings, database_url=given))
    try:
        yield database
    finally:
        database.close()


def _owner(database: Database, number: str) -> Client:
    client = ClientStore(database.records).owner(number)
    if client is None:
        raise click.ClickException("No client in this database has the number.")
    return client


def _play(exotel: Exotel, scheduled: Sequence[Sequence[Delivery]]) -> list[Attempt]:
    attempts = []
    total = sum(map(len, scheduled))
    with click.progressbar(length=total, label="deliveries", file=sys.stderr, show_pos=True) as bar:
        for attempt in exotel.play(scheduled):
            attempts.append(attempt)
            bar.update(1 if attempt.number == 1 else 0)
    return attempts


def _print_simulation(
    count: int, attempts: Sequence[Attempt], found: Sequence[Difference], seed: int, as_json: bool
) -> None:
    answered = [attempt.milliseconds for attempt in attempts if attempt.status is not None]
    summary = {
        "calls": count,
        "deliveries": sum(attempt.number == 1 for attempt in attempts),
        "differences": [_named(difference) for difference in found],
        "p50ms": simulator.percentile(answered, 0.50),
        "p99ms": simulator.percentile(answered, 0.99),
    }
    if as_json:
        click.echo(orjson.dumps(summary))
    else:
        answers = Counter(str(attempt.status or "no answer") for attempt in attempts)
        words = [f"{status} × {times}" for status, times in sorted(answers.items())]
        _print_record(summary | {"differences": len(found), "answers": words, "seed": seed}, as_json)
        if found:
            click.echo()
            _print_rows([_named(difference) for difference in found], as_json)
    if _unheard(attempts):
        click.echo("No delivery was acknowledged: is it the right server, and the right key?", err=True)


def _unheard(attempts: Sequence[Attempt]) -> bool:
    """Whether the server took nothing at all: then nothing differs, and nothing was shown."""
    return bool(attempts) and not any(attempt.acknowledged for attempt in attempts)


def _named(difference: Difference) -> dict[str, str | None]:
    return {
        "callSid": difference.call_sid,
        "field": difference.field,
        "expected": difference.expected,
        "found": difference.found,
    }


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
