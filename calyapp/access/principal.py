"""Who acts, from where, and what they may. Knows neither how they proved it nor where that is stored."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from calyapp.errors import ValidationError


class Role(StrEnum):
    """What somebody may: an admin all, an auditor read all clients or one, a client what is its own."""

    ADMIN = "admin"
    AUDITOR = "auditor"
    CLIENT = "client"


class PrincipalKind(StrEnum):
    """A person who signed in, or a program with a key."""

    USER = "user"
    API_KEY = "api key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody we know. `client_id` is the one client that they see, or None for all; `name` may be an address."""

    kind: PrincipalKind
    id: UUID
    name: str
    role: Role
    client_id: UUID | None
    session_id: UUID | None = None

    @property
    def user_id(self) -> UUID | None:
        """The user, as the trail names them; None for an API key."""
        return self.id if self.kind is PrincipalKind.USER else None

    @property
    def shown(self) -> dict[str, str]:
        """What the trail keeps of them."""
        return {"kind": self.kind.value, "id": str(self.id), "role": self.role.value}

    def sees(self, client_id: UUID | None) -> bool:
        """Whether what belongs to this client is theirs to see; what belongs to none is for those who see all."""
        return self.client_id is None or self.client_id == client_id


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something was asked for, as the trail keeps it."""

    via: str
    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


COMMAND_LINE = Origin("command line")


def check_scope(role: Role, client_id: UUID | None) -> None:
    """Raises `ValidationError` unless a client has its client and an admin none."""
    if role is Role.CLIENT and client_id is None:
        raise ValidationError("The role client needs the client that it is for.")
    if role is Role.ADMIN and client_id is not None:
        raise ValidationError("The role admin is for all clients, and takes none.")
