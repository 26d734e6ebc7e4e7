"""`flask caly doctor`: is this host's deployment as it should be, and if not, what is to be done."""

import logging
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import click
import orjson

from calyapp.cli.command import as_json, services
from calyapp.cli.parameters import WEB_ADDRESS
from calyapp.doctor.deployment import all_checks
from calyapp.doctor.diagnosis import Diagnosis, Verdict, examine

_COLOURS = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}
_WIDEST = 110
_NAME_WIDTH = 22
_INDENT = " " * (len("warn  ") + _NAME_WIDTH)


@click.command()
@click.option("--url", type=WEB_ADDRESS, help="Where Exotel reaches the service; PUBLIC_URL if not given.")
@click.option("--http-url", type=WEB_ADDRESS, help="The same host in clear; its port 80 if not given.")
@as_json
def doctor(url: str | None, http_url: str | None, as_json: bool) -> None:
    """Examine this host's deployment, and say what to mend. Exit code 1 if something failed."""
    url = url or services().settings.public_url
    if http_url and not url:
        raise click.UsageError("--http-url is of use only beside --url or PUBLIC_URL.")
    found = []
    with _silence():
        for diagnosis in examine(all_checks(services(), url, http_url)):
            found.append(diagnosis)
            if not as_json:
                _print(diagnosis)
    if as_json:
        click.echo(orjson.dumps(found))
    else:
        _print_sum(found)
    if any(diagnosis.verdict is Verdict.FAIL for diagnosis in found):
        raise SystemExit(1)


@contextmanager
def _silence() -> Iterator[None]:
    """No log lines between ours: what they would tell is told by a check, in its own words."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _print(diagnosis: Diagnosis) -> None:
    verdict = click.style(f"{diagnosis.verdict:<4}", fg=_COLOURS[diagnosis.verdict])
    first, *more = _lines(diagnosis)
    click.echo(f"{verdict}  {diagnosis.check:<{_NAME_WIDTH}}{first}")
    for line in more:
        click.echo(_INDENT + line)


def _lines(diagnosis: Diagnosis) -> list[str]:
    """The remedy behind what was found where both fit into a line, else below it."""
    width = max(30, min(shutil.get_terminal_size().columns, _WIDEST) - len(_INDENT))
    remedy = f"→ {diagnosis.remedy}" if diagnosis.remedy else ""
    together = f"{diagnosis.found} {remedy}"
    if len(together) <= width:
        return [together.rstrip()]
    return [*_wrapped(diagnosis.found, width), *_wrapped(remedy, width, indent="  ")]


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    # A command or a variable is not to be broken where it has a hyphen.
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _print_sum(found: list[Diagnosis]) -> None:
    counted = Counter(diagnosis.verdict for diagnosis in found)
    click.echo(f"\n{len(found)} checks: " + ", ".join(f"{counted[verdict]} {verdict}" for verdict in Verdict))
