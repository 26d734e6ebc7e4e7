"""`flask caly secrets …`: encrypted secrets in the database, and the keys of stream tokens."""

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

secrets = AppGroup("secrets", help="Encrypted secrets in the database, and the keys of stream tokens.")


@secrets.command("status")
@as_json
def status(as_json: bool) -> None:
    """Count the secrets by the key that encrypts them. Exit code 1 if a secret cannot be decrypted."""
    census = services().exotel_accounts.census()
    counts = {"secrets": census.sealed, "underPreviousKey": census.under_previous, "unreadable": census.unreadable}
    print_record(counts, as_json)
    if census.unreadable:
        raise SystemExit(1)


@secrets.command()
@as_json
def reencrypt(as_json: bool) -> None:
    """Encrypt all secrets again with ENCRYPTION_KEY. Exit code 1 if some cannot be decrypted; they stay unchanged."""
    store = services().exotel_accounts
    census = store.census()
    outdated = census.under_previous + census.unreadable
    with click.progressbar(store.reencrypt(), outdated, "secrets", file=sys.stderr, show_pos=True) as clients:
        readable = dict(clients)
    unreadable = [str(client_id) for client_id, done in readable.items() if not done]
    print_record({"reencrypted": len(readable) - len(unreadable), "unreadable": unreadable}, as_json)
    if unreadable:
        raise SystemExit(1)


@secrets.command("check-token")
@as_json
def check_token(as_json: bool) -> None:
    """Print which key signed the token of a stream URL, and whether the token is valid.

    Reads the URL from standard input. Exit code 1 if the token is not valid.
    """
    settings = services().settings
    call_id, token = _stream_call(read_line("stream URL"))
    keys = {"STREAM_TOKEN_KEY": settings.stream_token_key}
    if settings.stream_token_key_previous:
        keys["STREAM_TOKEN_KEY_PREVIOUS"] = settings.stream_token_key_previous
    signature = stream_token.read([key.reveal() for key in keys.values()], call_id, token)
    if signature is None:
        report = {"signedWith": None, "expires": None, "verdict": "unknown"}
    else:
        verdict = "good" if signature.expires_at > clock.now() else "expired"
        report = {
            "signedWith": list(keys)[signature.key_index],
            "expires": clock.iso(signature.expires_at),
            "verdict": verdict,
        }
    print_record(report, as_json)
    if report["verdict"] != "good":
        raise SystemExit(1)


def _stream_call(url: str) -> tuple[UUID, str]:
    """Returns the call id and the token of a stream URL. Raises `ValidationError` if it has none."""
    try:
        query = dict(parse_qsl(urlsplit(url.strip()).query))
        return UUID(query["callId"]), query["token"]
    except (KeyError, ValueError):
        raise ValidationError(
            "This is not a stream URL. It must end in /audio?callId=<call id>&token=<token>, as call-start returns it."
        ) from None
