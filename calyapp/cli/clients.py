"""`flask caly clients …`: who may be called."""

from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from calyapp.cli.command import as_json, base_url, explains_errors, services
from calyapp.cli.output import print_record, print_rows
from calyapp.cli.parameters import ClientName, LikeSetting, PhoneNumber
from calyapp.cli.standard_input import read_line
from calyapp.clients.account_store import ExotelAccount
from calyapp.clients.store import Client
from calyapp.errors import ValidationError
from calyapp.setting_kinds import ACCOUNT_SID, CREDENTIAL, LANGUAGE, LINE, VOICE, Secret

API_HOSTS = ("api.in.exotel.com", "api.exotel.com")
"""Mumbai and Singapore (section 10)."""

clients = AppGroup("clients", help="Who may be called: clients, their numbers and their webhook keys.")
numbers = AppGroup("numbers", help="The numbers of a client.")
clients.add_command(numbers)


@clients.command()
@click.option("--name", type=ClientName(), required=True, help="A name that no other client has.")
@click.option("--number", "given", type=PhoneNumber(), multiple=True, help="A number of theirs; repeatable.")
@base_url
@as_json
@explains_errors
def add(name: str, given: tuple[str, ...], base_url: str, as_json: bool) -> None:
    """Add a client and print its webhook URL."""
    _printwith_key(services().clients.add(name, given), base_url, as_json)


@clients.command("list")
@as_json
@explains_errors
def list_clients(as_json: bool) -> None:
    """List all clients."""
    print_rows([_summary(client) for client in services().clients.all()], as_json)


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
        _printwith_key(client, base_url, as_json)
    else:
        print_record(_details(client), as_json)


@clients.command()
@click.argument("client_id", type=click.UUID)
@as_json
@explains_errors
def disable(client_id: UUID, as_json: bool) -> None:
    """Refuse a client's deliveries from now on, its users and API keys too; its records stay."""
    print_record(_summary(services().clients.disable(client_id)), as_json)


@clients.command("set-greeting")
@click.argument("client_id", type=click.UUID)
@click.option("--text", type=LikeSetting("text", LINE), help="What is said.")
@click.option("--voice", type=LikeSetting("voice", VOICE), help="By which voice, such as woman.")
@click.option("--language", type=LikeSetting("language", LANGUAGE), help="In which language, such as ta-IN.")
@click.option("--default", "default", is_flag=True, help="Go back to SAY_TEXT, SAY_VOICE and SAY_LANGUAGE.")
@as_json
@explains_errors
def set_greeting(
    client_id: UUID, text: str | None, voice: str | None, language: str | None, default: bool, as_json: bool
) -> None:
    """Choose what a client's callers hear first; what is not given stays."""
    given = {name: value for name, value in (("text", text), ("voice", voice), ("language", language)) if value}
    if bool(given) == default:
        raise click.UsageError("Give --text, --voice or --language, or --default alone.")
    store = services().clients
    client = store.reset_greeting(client_id) if default else store.set_greeting(client_id, **given)
    print_record(_details(client), as_json)


@clients.command("rotate-key")
@click.argument("client_id", type=click.UUID)
@click.option("--retire", is_flag=True, help="End the older keys instead of making a new one.")
@base_url
@as_json
@explains_errors
def rotate_key(client_id: UUID, retire: bool, base_url: str, as_json: bool) -> None:
    """Make a new webhook key beside the old one; once Exotel uses it, --retire the old one."""
    store = services().clients
    _printwith_key(store.retire_keys(client_id) if retire else store.rotate_key(client_id), base_url, as_json)


@clients.command("connect-exotel")
@click.argument("client_id", type=click.UUID)
@click.option(
    "--account-sid", type=LikeSetting("sid", ACCOUNT_SID), required=True, help="Exotel's name of the account."
)
@click.option(
    "--host",
    type=click.Choice(API_HOSTS),
    default=API_HOSTS[0],
    show_default=True,
    help="Where its API is: Mumbai or Singapore.",
)
@click.option(
    "--credentials-stdin",
    is_flag=True,
    required=True,
    expose_value=False,
    help="Read the API key and the API token from the first two lines of standard input.",
)
@as_json
@explains_errors
def connect_exotel(client_id: UUID, account_sid: str, host: str, as_json: bool) -> None:
    """Keep the credentials of a client's account at Exotel, encrypted."""
    api_key, api_token = (_credential(name) for name in ("API key", "API token"))
    account = ExotelAccount(account_sid, host, api_key, api_token)
    services().exotel_accounts.connect(client_id, account)
    print_record({"id": str(client_id), "exotelAccount": account_sid, "host": host}, as_json)


@clients.command("disconnect-exotel")
@click.argument("client_id", type=click.UUID)
@as_json
@explains_errors
def disconnect_exotel(client_id: UUID, as_json: bool) -> None:
    """Forget a client's account at Exotel."""
    services().exotel_accounts.disconnect(client_id)
    print_record({"id": str(client_id), "exotelAccount": None}, as_json)


@numbers.command("add")
@click.argument("client_id", type=click.UUID)
@click.argument("number", type=PhoneNumber())
@as_json
@explains_errors
def add_number(client_id: UUID, number: str, as_json: bool) -> None:
    """Give a client a number."""
    print_record(_summary(services().clients.add_number(client_id, number)), as_json)


@numbers.command("remove")
@click.argument("client_id", type=click.UUID)
@click.argument("number", type=PhoneNumber())
@as_json
@explains_errors
def remove_number(client_id: UUID, number: str, as_json: bool) -> None:
    """Take a number from a client."""
    print_record(_summary(services().clients.remove_number(client_id, number)), as_json)


def _credential(name: str) -> Secret[str]:
    line = read_line(name)
    try:
        CREDENTIAL.read(line)
    except ValueError:
        raise ValidationError(f"The {name} must be {CREDENTIAL.what}.") from None
    return Secret(line)


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


def with_key(client: Client, base_url: str) -> dict[str, Any]:
    """The client with its newest webhook key and URL, as scripts rely on it. Both are secrets."""
    key = services().webhook_keys.mint(client.id, client.key_version)
    return {
        "id": str(client.id),
        "name": client.name,
        "numbers": list(client.numbers),
        "webhookKey": key,
        "webhookUrl": f"{base_url.rstrip('/')}/webhooks/exotel/call-start?key={key}",
    }


def _printwith_key(client: Client, base_url: str, as_json: bool) -> None:
    print_record(with_key(client, base_url), as_json)
