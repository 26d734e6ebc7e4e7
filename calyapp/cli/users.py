"""`flask caly users …`: users, their roles and passwords."""

from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from calyapp import clock
from calyapp.access import passwords
from calyapp.access.principal import Role, check_scope
from calyapp.access.user_store import User
from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record, print_rows
from calyapp.cli.parameters import EmailAddress, RoleValue
from calyapp.cli.references import CLIENT, user_argument
from calyapp.cli.standard_input import confirm, read_secret, yes
from calyapp.errors import ValidationError
from calyapp.web.schemas.sanitizers import CONTROL_CHARACTERS

users = AppGroup("users", help="Users, their roles and their passwords.")
role = click.option("--role", type=RoleValue(), required=True, help="What they are allowed to do.")
client = click.option(
    "--client", "client_id", type=CLIENT, help="The client that the role is limited to: its id, name or number."
)
password_stdin = click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from the first line of standard input; on a terminal it is asked for.",
)


@users.command()
@click.option("--email", type=EmailAddress(), required=True, help="An address that no other user has.")
@role
@client
@password_stdin
@as_json
def add(email: str, role: Role, client_id: UUID | None, password_stdin: bool, as_json: bool) -> None:
    """Add a user."""
    require_scope(role, client_id)
    print_record(_brief(services().users.add(email, _password_hash(password_stdin), role, client_id)), as_json)


@users.command("list")
@as_json
def list_users(as_json: bool) -> None:
    """List all users."""
    print_rows([_summary(user) for user in services().users.all()], as_json)


@users.command()
@user_argument
@yes
@as_json
def suspend(user_id: UUID, yes: bool, as_json: bool) -> None:
    """Stop a user from signing in, and end their sessions. Asks on a terminal."""
    confirm("Suspend this user?", ["They can no longer sign in, and their sessions end."], yes)
    print_record(_summary(services().users.suspend(user_id)), as_json)


@users.command()
@user_argument
@as_json
def unsuspend(user_id: UUID, as_json: bool) -> None:
    """Let a suspended user sign in again."""
    print_record(_summary(services().users.unsuspend(user_id)), as_json)


@users.command("set-role")
@user_argument
@click.argument("role", type=RoleValue())
@client
@as_json
def set_role(user_id: UUID, role: Role, client_id: UUID | None, as_json: bool) -> None:
    """Change a user's role. Takes effect at once."""
    require_scope(role, client_id)
    print_record(_brief(services().users.set_role(user_id, role, client_id)), as_json)


@users.command()
@user_argument
@yes
@as_json
def delete(user_id: UUID, yes: bool, as_json: bool) -> None:
    """Delete a user and their sessions. Their audit entries stay. Asks on a terminal."""
    confirm("Delete this user?", ["They can no longer sign in. A deleted user cannot be restored."], yes)
    services().users.delete(user_id)
    print_record({"id": str(user_id), "deleted": True}, as_json)


@users.command("set-password")
@user_argument
@password_stdin
@as_json
def set_password(user_id: UUID, password_stdin: bool, as_json: bool) -> None:
    """Change a user's password, and end their sessions."""
    services().users.set_password(user_id, _password_hash(password_stdin))
    print_record({"id": str(user_id), "changed": True}, as_json)


@users.command("revoke-sessions")
@user_argument
@as_json
def revoke_sessions(user_id: UUID, as_json: bool) -> None:
    """End all sessions of a user at once."""
    print_record({"id": str(user_id), "sessionsRevoked": services().users.revoke_sessions(user_id)}, as_json)


def require_scope(role: Role, client_id: UUID | None) -> None:
    """Raises `click.UsageError` if role and client do not fit together, `NotFoundError` for an unknown client."""
    try:
        check_scope(role, client_id)
    except ValidationError as error:
        raise click.UsageError(error.message) from None
    if client_id:
        services().clients.get(client_id)


def _password_hash(from_stdin: bool) -> str:
    return services().passwords.hash(read_secret("password", "--password-stdin", from_stdin, _check_password))


def _check_password(password: str) -> None:
    if CONTROL_CHARACTERS.search(password):  # the API refuses it at every sign-in
        raise ValidationError("The password must not contain control characters.")
    passwords.check(password)


def _brief(user: User) -> dict[str, Any]:
    """Returns the fields that scripts rely on."""
    return {
        "id": str(user.id),
        "email": user.email,
        "role": user.role.value,
        "clientId": str(user.client_id) if user.client_id else None,
    }


def _summary(user: User) -> dict[str, Any]:
    return _brief(user) | {"createdAt": clock.iso(user.created_at), "suspended": user.suspended_at is not None}
