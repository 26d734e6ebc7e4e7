"""`flask caly simulate`: sends calls as Exotel does, and checks that the server recorded what it acknowledged."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import click
import orjson

from calyapp import clock
from calyapp.calls import store as call_store
from calyapp.cli.command import as_json, base_url, explained, public_url, services
from calyapp.cli.output import print_record, print_rows
from calyapp.cli.parameters import PhoneNumber, Share
from calyapp.cli.standard_input import SecretValue
from calyapp.clients.store import Client, ClientStore
from calyapp.db import engine
from calyapp.db.engine import Database
from calyapp.errors import DatabaseError
from calyapp.setting_kinds import DATABASE_URL, WEBHOOK_KEY, Secret
from calyapp.simulation import comparison, simulator
from calyapp.simulation.comparison import Difference
from calyapp.simulation.scenarios import Call, Delivery
from calyapp.simulation.simulator import Attempt, Exotel


@click.command()
@base_url
@click.option(
    "--key",
    type=SecretValue("key", WEBHOOK_KEY),
    required=True,
    help="The client's webhook key, a secret: - reads it from standard input, @FILE from a file.",
)
@click.option("--number", type=PhoneNumber(), required=True, help="The client's number.")
@click.option("--calls", "count", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--shuffle", is_flag=True, help="Send the deliveries in random order, across calls.")
@click.option("--duplicate", type=Share(), default="0%", show_default=True, help="Share of deliveries sent twice.")
@click.option("--drop", type=Share(), default="0%", show_default=True, help="Share of deliveries never sent.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=8, show_default=True, help="Requests at a time.")
@click.option("--seed", type=int, help="Repeats a run with the same seed; random if not given.")
@click.option(
    "--compress",
    type=click.FloatRange(1),
    default=1000,
    show_default=True,
    help="Refused deliveries are sent again after 5 and 15 minutes, divided by this factor.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    help="Seconds to wait for deliveries that are still in the server's spool.",
)
@click.option(
    "--database-url",
    type=SecretValue("url", DATABASE_URL),
    help="The server's database, if not DATABASE_URL; - reads it from standard input, @FILE from a file.",
)
@as_json
def simulate(
    base_url: str | None,
    key: str,
    number: str,
    count: int,
    shuffle: bool,
    duplicate: float,
    drop: float,
    concurrency: int,
    seed: int | None,
    compress: float,
    settle: float,
    database_url: Secret[str] | None,
    as_json: bool,
) -> None:
    """Send calls as Exotel does, then compare the recorded calls with what was acknowledged.

    Exit code 1 if they differ.
    """
    address = public_url(base_url)
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    chance = Random(seed)  # noqa: S311 # nosec B311 # must be repeatable, not secret
    passthru_url = f"{address}/webhooks/exotel/passthru?key={key}"
    with _database(database_url) as database:
        client = _owner(database, number)
        played = simulator.calls(count, number, passthru_url, clock.now(), chance)
        scheduled = simulator.schedule(played, chance, shuffle=shuffle, duplicate=duplicate, drop=drop)
        attempts = _play(Exotel(address, key, concurrency, compress), scheduled)
        differences = _differences(database, client, played, attempts, settle)
    _print_simulation(count, attempts, differences, seed, as_json)
    if differences or _nothing_acknowledged(attempts):
        raise SystemExit(1)


@contextmanager
def _database(url: Secret[str] | None) -> Iterator[Database]:
    """Yields the database to compare with."""
    if url is None:
        yield services().database
        return
    database = engine.database(replace(services().settings, database_url=url))
    try:
        yield database
    except DatabaseError as error:
        raise explained(error, "--database-url") from None
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


def _differences(
    database: Database, client: Client, played: Sequence[Call], attempts: Sequence[Attempt], settle: float
) -> list[Difference]:
    """Returns the differences that remain after at most `settle` seconds."""
    ends_at = time.monotonic() + settle
    while True:
        with database.records.connection() as connection:
            rows = call_store.call_rows(connection, client.id, (call.call_sid for call in played))
        differences = comparison.differences(played, attempts, rows, clock.now())
        if not differences or time.monotonic() >= ends_at:
            return differences
        time.sleep(0.5)


def _print_simulation(
    count: int, attempts: Sequence[Attempt], differences: Sequence[Difference], seed: int, as_json: bool
) -> None:
    answered = [attempt.milliseconds for attempt in attempts if attempt.status is not None]
    summary = {
        "calls": count,
        "deliveries": sum(attempt.number == 1 for attempt in attempts),
        "differences": [_as_json(difference) for difference in differences],
        "p50ms": simulator.percentile(answered, 0.50),
        "p99ms": simulator.percentile(answered, 0.99),
    }
    if as_json:
        click.echo(orjson.dumps(summary))
    else:
        answers = Counter(str(attempt.status or "no answer") for attempt in attempts)
        counts = [f"{status} × {times}" for status, times in sorted(answers.items())]
        print_record(summary | {"differences": len(differences), "answers": counts, "seed": seed}, as_json)
        if differences:
            click.echo()
            print_rows([_as_json(difference) for difference in differences], as_json)
    if _nothing_acknowledged(attempts):
        click.echo("No delivery was acknowledged. Check the address of the server and the key.", err=True)


def _nothing_acknowledged(attempts: Sequence[Attempt]) -> bool:
    """Returns whether no delivery was acknowledged. Then nothing can differ, and the run proves nothing."""
    return bool(attempts) and not any(attempt.acknowledged for attempt in attempts)


def _as_json(difference: Difference) -> dict[str, str | None]:
    return {
        "callSid": difference.call_sid,
        "field": difference.field,
        "expected": difference.expected,
        "found": difference.stored,
    }
