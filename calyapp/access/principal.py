"""Principals: who acts, from where, and with which role. Knows nothing of how they are authenticated or stored."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from calyapp.errors import ValidationError


class Role(StrEnum):
    """What a principal can do: an admin everything; an auditor read all clients or one; a client read its own data."""

    ADMIN = "admin"
    AUDITOR = "auditor"
    CLIENT = "client"


class PrincipalKind(StrEnum):
    """A user who signed in, or a program with an API key."""

    USER = "user"
    API_KEY = "api key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated user or program. `client_id` is the only client that it can see, or None for all clients."""

    kind: PrincipalKind
    id: UUID
    name: str
    role: Role
    client_id: UUID | None
    session_id: UUID | None = None

    @property
    def user_id(self) -> UUID | None:
        """The user's id for the audit log, or None for an API key."""
        return self.id if self.kind is PrincipalKind.USER else None

    @property
    def shown(self) -> dict[str, str]:
        """What the audit log keeps of the principal."""
        return {"kind": self.kind.value, "id": str(self.id), "role": self.role.value}

    def sees(self, client_id: UUID | None) -> bool:
        """Returns whether the principal can see records of this client, or with None records of no client."""
        return self.client_id is None or self.client_id == client_id


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, for the audit log."""

    via: str
    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


COMMAND_LINE = Origin("command line")


def check_scope(role: Role, client_id: UUID | None) -> None:
    """Raises `ValidationError` unless a role `client` has a client and a role `admin` has none."""
    if role is Role.CLIENT and client_id is None:
        raise ValidationError("The role client requires a client.")
    if role is Role.ADMIN and client_id is not None:
        raise ValidationError("The role admin is for all clients: give no client.")
