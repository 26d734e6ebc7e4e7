"""`flask caly secrets …`: what is kept encrypted in the database, and which key signed a stream's token."""

import sys
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import click
from flask.cli import AppGroup

from calyapp import clock
from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record
from calyapp.cli.standard_input import read_line
from calyapp.errors import ValidationError
from calyapp.exotel import stream_token

secrets = AppGroup("secrets", help="What is kept encrypted in the database, and which key signed a stream's token.")


@secrets.command("status")
@as_json
def census(as_json: bool) -> None:
    """Show how many secrets there are under which key. Exit code 1 if some are under none that is set."""
    found = services().exotel_accounts.census()
    counts = {"secrets": found.sealed, "underPreviousKey": found.under_previous, "unreadable": found.unreadable}
    print_record(counts, as_json)
    if found.unreadable:
        raise SystemExit(1)


@secrets.command()
@as_json
def reencrypt(as_json: bool) -> None:
    """Encrypt all secrets anew under ENCRYPTION_KEY. Exit code 1 if some could not be read; they stay as they are."""
    store = services().exotel_accounts
    found = store.census()
    outdated = found.under_previous + found.unreadable
    with click.progressbar(store.reencrypt(), outdated, "secrets", file=sys.stderr, show_pos=True) as clients:
        readable = dict(clients)
    unreadable = [str(client_id) for client_id, done in readable.items() if not done]
    print_record({"reencrypted": len(readable) - len(unreadable), "unreadable": unreadable}, as_json)
    if unreadable:
        raise SystemExit(1)


@secrets.command("check-token")
@as_json
def check_token(as_json: bool) -> None:
    """Say which key signed the token of a stream URL, and whether it is still good.

    Reads the URL from standard input. Exit code 1 if it is not good.
    """
    settings = services().settings
    call_id, token = _stream_call(read_line("stream URL"))
    keys = {"STREAM_TOKEN_KEY": settings.stream_token_key}
    if settings.stream_token_key_previous:
        keys["STREAM_TOKEN_KEY_PREVIOUS"] = settings.stream_token_key_previous
    signature = stream_token.read([key.reveal() for key in keys.values()], call_id, token)
    if signature is None:
        told = {"signedWith": None, "expires": None, "verdict": "unknown"}
    else:
        verdict = "good" if signature.expires_at > clock.now() else "expired"
        told = {
            "signedWith": list(keys)[signature.key_index],
            "expires": clock.iso(signature.expires_at),
            "verdict": verdict,
        }
    print_record(told, as_json)
    if told["verdict"] != "good":
        raise SystemExit(1)


def _stream_call(url: str) -> tuple[UUID, str]:
    """The call and the token that a stream URL names. Raises `ValidationError` if it names none."""
    try:
        query = dict(parse_qsl(urlsplit(url.strip()).query))
        return UUID(query["callId"]), query["token"]
    except (KeyError, ValueError):
        raise ValidationError(
            "This is no stream URL: it must end in /audio?callId=<call id>&token=<token>, as call-start answers it."
        ) from None
