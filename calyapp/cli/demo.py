"""`flask caly demo`: a client for trying out the service."""

import click

from calyapp.cli.clients import with_webhook_key
from calyapp.cli.command import base_url, public_url, services
from calyapp.config import AppEnv

DEMO_NAME = "Demo"
DEMO_NUMBER = "+918047112345"


@click.command()
@base_url
def demo(base_url: str | None) -> None:
    """Create the demo client unless it exists, and print a call to try (development only)."""
    if services().settings.app_env is AppEnv.PRODUCTION:
        raise click.ClickException("There is no demo client in production; use `flask caly clients add`.")
    store = services().clients
    client = next((each for each in store.all() if each.name == DEMO_NAME), None)
    client = client or store.add(DEMO_NAME, [DEMO_NUMBER])
    url = with_webhook_key(client, public_url(base_url))["webhookUrl"]
    number = client.numbers[0] if client.numbers else DEMO_NUMBER
    click.echo(
        f"\nDemo number:  {number}\nWebhook URL:  {url}\n\nOnce the service runs, try a call:\n\n"
        f"  curl '{url}' -d CallSid=demo-1 -d From=09876543210 -d To={number.removeprefix('+')}\n"
    )
