"""`flask caly clients …`: clients, their numbers, webhook keys, greetings and accounts at Exotel."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from calyapp import clock
from calyapp.cli.command import as_json, base_url, public_url, services
from calyapp.cli.output import print_record, print_rows
from calyapp.cli.parameters import ClientName, LikeSetting, PhoneNumber
from calyapp.cli.references import client_argument
from calyapp.cli.standard_input import confirm, read_secret, yes
from calyapp.clients.account_store import ExotelAccount
from calyapp.clients.store import Client
from calyapp.errors import ValidationError
from calyapp.setting_kinds import ACCOUNT_SID, CREDENTIAL, LANGUAGE, LINE, VOICE, Secret

API_HOSTS = ("api.in.exotel.com", "api.exotel.com")
"""Mumbai and Singapore: docs/exotel-protocol.md, section 10.1."""

clients = AppGroup("clients", help="Clients, their numbers and their webhook keys.")
numbers = AppGroup("numbers", help="The numbers of a client.")
clients.add_command(numbers)


@clients.command()
@click.option("--name", type=ClientName(), required=True, help="A name that no other client has.")
@click.option("--number", "given", type=PhoneNumber(), multiple=True, help="A number of the client; repeatable.")
@base_url
@as_json
def add(name: str, given: tuple[str, ...], base_url: str | None, as_json: bool) -> None:
    """Add a client and print its webhook URL."""
    address = public_url(base_url)  # fails before anything is stored
    print_record(with_webhook_key(services().clients.add(name, given), address), as_json)


@clients.command("list")
@as_json
def list_clients(as_json: bool) -> None:
    """List all clients."""
    print_rows([_summary(client) for client in services().clients.all()], as_json)


@clients.command()
@client_argument
@click.option("--with-key", is_flag=True, help="Also print the webhook key and URL. They are secrets.")
@base_url
@as_json
def show(client_id: UUID, with_key: bool, base_url: str | None, as_json: bool) -> None:
    """Show one client."""
    client = services().clients.get(client_id)
    if with_key:
        print_record(with_webhook_key(client, public_url(base_url)), as_json)
    else:
        print_record(_details(client), as_json)


@clients.command()
@client_argument
@yes
@as_json
def disable(client_id: UUID, yes: bool, as_json: bool) -> None:
    """Refuse a client's deliveries, users and API keys from now on. Its records stay.

    On a terminal it lists the consequences and asks for confirmation.
    """
    client = services().clients.get(client_id)
    if not client.disabled_at:
        confirm(f"Disable {client.name!r}?", _consequences(client), yes)
    print_record(_summary(services().clients.disable(client_id)), as_json)


@clients.command()
@client_argument
@as_json
def enable(client_id: UUID, as_json: bool) -> None:
    """Accept a disabled client's deliveries, users and API keys again."""
    print_record(_summary(services().clients.enable(client_id)), as_json)


@clients.command("set-greeting")
@client_argument
@click.option("--text", type=LikeSetting("text", LINE), help="The text to say.")
@click.option("--voice", type=LikeSetting("voice", VOICE), help="The voice, such as woman.")
@click.option("--language", type=LikeSetting("language", LANGUAGE), help="The language, such as ta-IN.")
@click.option("--default", "default", is_flag=True, help="Return to SAY_TEXT, SAY_VOICE and SAY_LANGUAGE.")
@as_json
def set_greeting(
    client_id: UUID, text: str | None, voice: str | None, language: str | None, default: bool, as_json: bool
) -> None:
    """Set what a client's callers hear first. Options that are not given stay unchanged."""
    greeting = {name: value for name, value in (("text", text), ("voice", voice), ("language", language)) if value}
    if bool(greeting) == default:
        raise click.UsageError("Give --text, --voice or --language, or --default alone.")
    store = services().clients
    client = store.reset_greeting(client_id) if default else store.set_greeting(client_id, **greeting)
    print_record(_details(client), as_json)


@clients.command("rotate-key")
@client_argument
@click.option("--retire", is_flag=True, help="Invalidate the older keys instead of creating a new one.")
@yes
@base_url
@as_json
def rotate_key(client_id: UUID, retire: bool, yes: bool, base_url: str | None, as_json: bool) -> None:
    """Create a new webhook key beside the old one. Once Exotel uses it, --retire the old one (asks on a terminal)."""
    if retire:
        confirm("Retire the older keys?", ["Deliveries to webhook URLs with an older key are refused."], yes)
    store, address = services().clients, public_url(base_url)
    client = store.retire_keys(client_id) if retire else store.rotate_key(client_id)
    print_record(with_webhook_key(client, address), as_json)
    if client.disabled_at:
        click.echo(
            f"{client.name!r} is disabled: its deliveries are refused until `flask caly clients enable {client_id}`.",
            err=True,
        )


@clients.command("connect-exotel")
@client_argument
@click.option(
    "--account-sid", type=LikeSetting("sid", ACCOUNT_SID), required=True, help="The SID of the account at Exotel."
)
@click.option(
    "--host",
    type=click.Choice(API_HOSTS),
    default=API_HOSTS[0],
    show_default=True,
    help="The host of its API: Mumbai or Singapore.",
)
@click.option(
    "--credentials-stdin",
    is_flag=True,
    help="Read the API key and the API token from two lines of standard input; on a terminal they are asked for.",
)
@as_json
def connect_exotel(client_id: UUID, account_sid: str, host: str, credentials_stdin: bool, as_json: bool) -> None:
    """Store the credentials of a client's account at Exotel, encrypted."""
    api_key, api_token = (_credential(name, credentials_stdin) for name in ("API key", "API token"))
    account = ExotelAccount(account_sid, host, api_key, api_token)
    services().exotel_accounts.connect(client_id, account)
    print_record({"id": str(client_id), "exotelAccount": account_sid, "host": host}, as_json)


@clients.command("disconnect-exotel")
@client_argument
@yes
@as_json
def disconnect_exotel(client_id: UUID, yes: bool, as_json: bool) -> None:
    """Delete the credentials of a client's account at Exotel. Asks on a terminal."""
    confirm("Delete the credentials?", ["The API key and token must be given again to connect the account."], yes)
    services().exotel_accounts.disconnect(client_id)
    print_record({"id": str(client_id), "exotelAccount": None}, as_json)


@numbers.command("add")
@client_argument
@click.argument("number", type=PhoneNumber())
@as_json
def add_number(client_id: UUID, number: str, as_json: bool) -> None:
    """Add a number to a client."""
    print_record(_summary(services().clients.add_number(client_id, number)), as_json)


@numbers.command("remove")
@client_argument
@click.argument("number", type=PhoneNumber())
@yes
@as_json
def remove_number(client_id: UUID, number: str, yes: bool, as_json: bool) -> None:
    """Remove a number from a client. Asks on a terminal."""
    confirm(
        "Remove the number?", [f"Without a webhook key, calls to {number} are no longer recorded for this client."], yes
    )
    print_record(_summary(services().clients.remove_number(client_id, number)), as_json)


def _consequences(client: Client) -> list[str]:
    """Returns what stops when the client is disabled, one line for each consequence."""
    usage = services().clients.usage(client.id, clock.now() - timedelta(days=1))
    return [
        f"Calls to its numbers are no longer answered: {', '.join(client.numbers) or 'it has none'}.",
        f"It had {usage.calls} calls in the last 24 hours.",
        f"Its users cannot sign in ({usage.users}), and its API keys are refused ({usage.api_keys}).",
    ]


def _credential(name: str, is_given: bool) -> Secret[str]:
    def check(text: str) -> None:
        try:
            CREDENTIAL.read(text)
        except ValueError:
            raise ValidationError(f"The {name} must be {CREDENTIAL.what}.") from None

    return Secret(read_secret(name, "--credentials-stdin", is_given, check))


def _summary(client: Client) -> dict[str, Any]:
    return {
        "id": str(client.id),
        "name": client.name,
        "numbers": list(client.numbers),
        "keyVersion": client.key_version,
        "oldestKeyVersion": client.oldest_key_version,
        "disabled": client.disabled_at is not None,
    }


def _details(client: Client) -> dict[str, Any]:
    greeting = {"sayText": client.say_text, "sayVoice": client.say_voice, "sayLanguage": client.say_language}
    return _summary(client) | greeting | {"exotelAccount": services().exotel_accounts.account_sid(client.id)}


def with_webhook_key(client: Client, base_url: str) -> dict[str, Any]:
    """Returns the client with its newest webhook key and URL, both secrets. Scripts rely on these fields."""
    key = services().webhook_keys.mint(client.id, client.key_version)
    return {
        "id": str(client.id),
        "name": client.name,
        "numbers": list(client.numbers),
        "webhookKey": key,
        "webhookUrl": f"{base_url}/webhooks/exotel/call-start?key={key}",
    }
