"""`flask caly partitions`: creates the monthly partitions of the audit log ahead of time."""

import click

from calyapp import clock
from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record
from calyapp.db import partitions as audit_partitions


@click.command()
@as_json
def partitions(as_json: bool) -> None:
    """Create the missing partitions of the audit log, for this month and the next three."""
    with services().database.records.transaction() as connection:
        made = audit_partitions.ensure(connection, clock.now())
    if made or as_json:
        print_record({"made": made}, as_json)
    else:
        click.echo("No partition was missing.")
