"""`flask caly doctor`: checks the deployment on this host."""

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
_MAX_WIDTH = 110
_NAME_WIDTH = 22
_INDENT = " " * (len("warn  ") + _NAME_WIDTH)


@click.command()
@click.option("--url", type=WEB_ADDRESS, help="Where Exotel reaches the service; PUBLIC_URL if not given.")
@click.option("--http-url", type=WEB_ADDRESS, help="The same host over plain HTTP; its port 80 if not given.")
@as_json
def doctor(url: str | None, http_url: str | None, as_json: bool) -> None:
    """Check the deployment on this host, and say what to correct. Exit code 1 if a check failed."""
    url = url or services().settings.public_url
    if http_url and not url:
        raise click.UsageError("--http-url needs --url or PUBLIC_URL.")
    diagnoses = []
    with _without_logging():
        for diagnosis in examine(all_checks(services(), url, http_url)):
            diagnoses.append(diagnosis)
            if not as_json:
                _print(diagnosis)
    if as_json:
        click.echo(orjson.dumps(diagnoses))
    else:
        _print_totals(diagnoses)
    if any(diagnosis.verdict is Verdict.FAIL for diagnosis in diagnoses):
        raise SystemExit(1)


@contextmanager
def _without_logging() -> Iterator[None]:
    """Keeps log lines out of the output: the checks report the same."""
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
    """Puts the remedy behind the message if both fit into one line, else below it."""
    width = max(30, min(shutil.get_terminal_size().columns, _MAX_WIDTH) - len(_INDENT))
    remedy = f"→ {diagnosis.remedy}" if diagnosis.remedy else ""
    together = f"{diagnosis.found} {remedy}"
    if len(together) <= width:
        return [together.rstrip()]
    return [*_wrapped(diagnosis.found, width), *_wrapped(remedy, width, indent="  ")]


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    # Do not break a command or a variable at a hyphen.
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _print_totals(diagnoses: list[Diagnosis]) -> None:
    counts = Counter(diagnosis.verdict for diagnosis in diagnoses)
    click.echo(f"\n{len(diagnoses)} checks: " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict))
