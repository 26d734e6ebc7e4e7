"""`flask caly partitions`: the months of the audit trail, ahead of time. For a timer, or after a month was missing."""

import click

from calyapp import clock
from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record
from calyapp.db import partitions as months


@click.command()
@as_json
def partitions(as_json: bool) -> None:
    """Make the months of the audit trail that are missing: this one and the next three."""
    with services().database.records.transaction() as connection:
        made = months.ensure(connection, clock.now())
    if made or as_json:
        print_record({"made": made}, as_json)
    else:
        click.echo("None was missing.")
