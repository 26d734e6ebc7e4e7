"""Parameter types for a client or a user, by id or by another unique property."""

from collections.abc import Callable
from uuid import UUID

import click

from calyapp import phone
from calyapp.cli.command import Command, services


class Reference(click.ParamType[UUID]):
    """An id, or a text for which `find` returns the id."""

    def __init__(self, name: str, find: Callable[[str], UUID]) -> None:
        self.name = name
        self._find = find

    def convert(self, value: str | UUID, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        """Returns the id. Raises `NotFoundError` if `find` does. Does not look up an id, which the command does."""
        try:
            return UUID(str(value))
        except ValueError:
            return self._find(str(value))


def _client_id(reference: str) -> UUID:
    return services().clients.find(reference, phone.e164(reference)).id


def _user_id(email: str) -> UUID:
    return services().users.find(email).id


CLIENT = Reference("client", _client_id)
"""A client, by id, name or one of its numbers."""
USER = Reference("user", _user_id)
"""A user, by id or e-mail address."""


def client_argument(command: Command) -> Command:
    """Adds the argument CLIENT to a command."""
    return click.argument("client_id", metavar="CLIENT", type=CLIENT)(command)


def user_argument(command: Command) -> Command:
    """Adds the argument USER to a command."""
    return click.argument("user_id", metavar="USER", type=USER)(command)
