"""`flask caly keys …`: API keys of programs."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from calyapp import clock
from calyapp.access.key_store import ApiKey
from calyapp.access.principal import Role
from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record, print_rows
from calyapp.cli.parameters import ClientName
from calyapp.cli.standard_input import confirm, yes
from calyapp.cli.users import client, require_scope, role

keys = AppGroup("keys", help="API keys, for programs that use the records API.")


@keys.command()
@click.option("--name", type=ClientName(), required=True, help="The purpose of the key.")
@role
@client
@click.option("--expires", "days", type=click.IntRange(1, 3650), help="Days until the key expires.")
@as_json
def create(name: str, role: Role, client_id: UUID | None, days: int | None, as_json: bool) -> None:
    """Create an API key. It is printed only this once."""
    require_scope(role, client_id)
    expires_at = clock.now() + timedelta(days=days) if days else None
    key, token = services().api_keys.create(name, role, client_id, expires_at)
    brief = {"id": str(key.id), "name": key.name, "role": key.role.value, "clientId": _text(key.client_id)}
    print_record(brief | {"key": token}, as_json)


@keys.command("list")
@as_json
def list_keys(as_json: bool) -> None:
    """List all API keys, newest first."""
    print_rows([_summary(key) for key in services().api_keys.all()], as_json)


@keys.command()
@click.argument("key_id", type=click.UUID)
@yes
@as_json
def revoke(key_id: UUID, yes: bool, as_json: bool) -> None:
    """Refuse an API key from now on. Asks on a terminal."""
    confirm("Revoke this API key?", ["Programs that use it are refused. A revoked key cannot be restored."], yes)
    print_record(_summary(services().api_keys.revoke(key_id)), as_json)


def _summary(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "name": key.name,
        "prefix": key.prefix,
        "role": key.role.value,
        "clientId": _text(key.client_id),
        "createdAt": _moment(key.created_at),
        "expiresAt": _moment(key.expires_at),
        "lastUsedAt": _moment(key.last_used_at),
        "revokedAt": _moment(key.revoked_at),
    }


def _text(identifier: UUID | None) -> str | None:
    return str(identifier) if identifier else None


def _moment(moment: datetime | None) -> str | None:
    return clock.iso(moment) if moment else None
