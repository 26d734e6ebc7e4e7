"""`flask caly tail`: follows deliveries as they are recorded."""

from collections.abc import Iterator
from contextlib import suppress
from time import sleep
from typing import Any
from uuid import UUID

import click
import orjson

from calyapp import clock
from calyapp.calls.feed_store import Feed, FeedItem, FeedResult
from calyapp.cli.command import services
from calyapp.cli.output import printable
from calyapp.cli.records import client_names
from calyapp.cli.references import CLIENT
from calyapp.errors import DatabaseError

POLL_SECONDS = 1.0
_RECENT = 10
_COLOURS = {
    FeedResult.NEW: "green",
    FeedResult.REPEAT: "cyan",
    FeedResult.REFUSED: "red",
    FeedResult.LIMITED: "yellow",
    FeedResult.FAILED: "red",
    FeedResult.DEGRADED: "red",
    FeedResult.RECOVERED: "green",
}


@click.command()
@click.option("--client", "client_id", type=CLIENT, help="Only deliveries of this client.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each.")
def tail(client_id: UUID | None, as_json: bool) -> None:
    """Follow deliveries and refusals as they are recorded, until Ctrl-C.

    Starts with the last 10. A line has the time (UTC), result, route, client, CallSid and reason. Refusals are
    recorded once a second for each source, with their count (×31). Phone numbers are not shown.
    """
    if client_id:
        services().clients.get(client_id)
    show = _json_line if as_json else _Lines().line
    for item in _follow(Feed(services().database.records, client_id)):
        click.echo(show(item))


def _follow(feed: Feed) -> Iterator[FeedItem]:
    """Yields entries without end. Raises what fails at the start; a later failure is printed once, then polled."""
    yield from feed.recent(_RECENT)
    is_away = False
    while True:
        sleep(POLL_SECONDS)
        try:
            entries = feed.poll()
        except DatabaseError as error:
            if not is_away:
                click.echo(f"{error.message}. This command continues when it is back.", err=True)
            is_away = True
            continue
        if is_away:
            click.echo("The database is back.", err=True)
        is_away = False
        yield from entries


class _Lines:
    """Formats lines for people, with the names of clients."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def line(self, news: FeedItem) -> str:
        result = click.style(f"{news.result:<9}", fg=_COLOURS[news.result])
        client = self._client(str(news.client_id)) if news.client_id else "-"
        cells = [clock.iso(news.at), result, f"{news.route or '-':<11}", f"{client:<16}", news.call_sid or "-"]
        if news.count > 1:
            cells.append(f"×{news.count}")
        if news.reason:
            cells.append(printable(news.reason))
        return "  ".join(cells)

    def _client(self, client_id: str) -> str:
        if client_id not in self._names:
            with suppress(DatabaseError):
                self._names = client_names()
        return self._names.get(client_id, client_id)


def _json_line(news: FeedItem) -> str:
    shown: dict[str, Any] = {
        "at": clock.iso(news.at),
        "result": news.result,
        "route": news.route,
        "clientId": str(news.client_id) if news.client_id else None,
        "callSid": news.call_sid,
        "count": news.count,
        "reason": news.reason,
        "eventId": str(news.event_id) if news.event_id else None,
    }
    return orjson.dumps(shown).decode()
