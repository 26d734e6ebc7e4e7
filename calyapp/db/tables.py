"""The tables, as the migrations leave them. The stores build their statements from these definitions.

The three large tables have no foreign key to `clients`: each delivery would lock its client's row, and clients are
disabled, never deleted. Their keys start with `client_id`, so that tenants cannot collide and the tables can be
distributed by tenant.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def _one_of(column: str, words: str) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words.split())
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _pages_by(column: str, *, where: str | None = None) -> tuple[Index, Index]:
    """Returns the indexes for pages of rows with one value of a column: over all clients, and of one client."""
    condition = None if where is None else text(where)
    page = (column, "created_at", "id")
    return Index(None, *page, postgresql_where=condition), Index(None, "client_id", *page, postgresql_where=condition)


clients = Table(
    "clients",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("key_version", Integer, nullable=False, server_default=text("1")),
    Column("oldest_key_version", Integer, nullable=False, server_default=text("1")),
    Column("say_text", Text),
    Column("say_voice", Text),
    Column("say_language", Text),
    _moment("disabled_at", nullable=True),
    _moment("created_at"),
    _moment("updated_at"),
    CheckConstraint("1 <= oldest_key_version AND oldest_key_version <= key_version", name="key_versions"),
)

client_numbers = Table(
    "client_numbers",
    metadata,
    Column("number", Text, primary_key=True),
    Column("client_id", Uuid, ForeignKey("clients.id"), nullable=False, index=True),
    _moment("created_at"),
    CheckConstraint(r"number ~ '^\+[1-9][0-9]{4,14}$'", name="e164"),
)

exotel_accounts = Table(
    "exotel_accounts",
    metadata,
    Column("client_id", Uuid, ForeignKey("clients.id"), primary_key=True),
    Column("account_sid", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("credentials", LargeBinary, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    CheckConstraint("octet_length(credentials) > 32", name="credentials"),  # key id, nonce and tag alone
)

SOURCES = "arrival passthru status-callback api"
SOURCED: dict[str, TypeEngine[Any]] = {
    "phone_from": Text(),
    "phone_to": Text(),
    "direction": Text(),
    "start_ts": DateTime(timezone=True),
    "end_ts": DateTime(timezone=True),
    "talk_seconds": Integer(),
    "call_seconds": Integer(),
    "recording_url": Text(),
}
"""The values of a call that have a source. A value and its source are joined together."""

calls = Table(
    "calls",
    metadata,
    # Must stay the only unique key. With a second one (on id), two concurrent first deliveries of a call could conflict
    # on the key that ON CONFLICT does not name, and one of them would fail.
    Column("client_id", Uuid, primary_key=True),
    Column("call_sid", Text, primary_key=True),
    Column("id", Uuid, nullable=False, index=True),
    Column("phase", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("outcome", Text),
    Column("duration_seconds", Integer),
    *(Column(name, type_) for name, type_ in SOURCED.items()),
    *(Column(f"{name}_source", Text) for name in SOURCED),
    _moment("created_at"),
    _moment("updated_at"),
    _one_of("phase", "initiated ringing in-progress over"),
    _one_of("evidence", "none completed failed canceled no-answer busy voicemail answered"),
    _one_of("status", "initiated ringing in-progress completed failed busy no-answer canceled"),
    _one_of("outcome", "answered voicemail rejected missed abandoned failed"),
    _one_of("direction", "inbound outbound"),
    *(_one_of(f"{name}_source", SOURCES) for name in SOURCED),
    *(CheckConstraint(f"({name} IS NULL) = ({name}_source IS NULL)", name=f"{name}_has_source") for name in SOURCED),
    Index(None, "call_sid"),
    Index(None, "created_at", "id"),
    Index(None, "client_id", "created_at", "id"),
    Index(None, "client_id", "status", "created_at", "id"),
    Index(None, "phone_from", "created_at", "id"),
    Index(None, "phone_to", "created_at", "id"),
    # The partial indexes leave out the most frequent value: a scan finds it soon, and each delivery would update them.
    # Recordings have no index: they mostly arrive late and alone, and would rewrite all index entries of the call.
    Index(None, "status", "created_at", "id", postgresql_where=text("status <> 'completed'")),
    *_pages_by("direction", where="direction = 'outbound'"),
    # Each delivery rewrites its call's row. Free space in the page allows HOT updates, which leave the indexes alone.
    postgresql_with={"fillfactor": "80"},
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("client_id", Uuid, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("call_id", Uuid),
    Column("route", Text, nullable=False),
    _moment("received_at"),
    Column("payload", JSONB, nullable=False),
    Column("repeats", Integer, nullable=False, server_default=text("0")),
    _one_of("route", "call-start call-status call-end recording passthru heartbeat cdr"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    Index(None, "client_id", "call_id", "received_at"),
)

audit_logs = Table(
    "audit_logs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("created_at", DateTime(timezone=True), primary_key=True),
    Column("event_type", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("client_id", Uuid),
    Column("call_id", Uuid),
    Column("user_id", Uuid),
    Column("description", Text, nullable=False),
    Column("resource", Text),
    Column("resource_id", Text),
    Column("changes", JSONB),
    Column("ip_address", INET),
    Column("user_agent", Text),
    Column("request_id", Text),
    Column("metadata", JSONB),
    _one_of("severity", "LOW MEDIUM HIGH CRITICAL"),
    _one_of("status", "success failure"),
    Index(None, "created_at", "id"),
    Index(None, "client_id", "created_at", "id"),
    Index(None, "call_id"),
    Index(None, "request_id"),
    *_pages_by("event_type"),
    # The partial indexes leave out the values that every delivery writes: a scan finds those soon.
    *_pages_by("severity", where="severity <> 'LOW'"),
    *_pages_by("status", where="status = 'failure'"),
    *_pages_by("resource", where="resource <> 'call'"),
    *_pages_by("user_id", where="user_id IS NOT NULL"),
    postgresql_partition_by="RANGE (created_at)",
)


def _counts() -> tuple[Column[Any] | CheckConstraint, ...]:
    """How often a kind of event occurred on a client's day (UTC).

    `entries` counts occurrences: a throttled entry counts as its `metadata.count`. The name is that of the first
    release, which still reads the tables while a newer one is being installed.
    """
    return (
        Column("client_id", Uuid),
        Column("day", Date, nullable=False),
        Column("event_type", Text, nullable=False),
        Column("severity", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("entries", BigInteger, nullable=False),
        CheckConstraint("entries > 0", name="entries"),
    )


audit_counts_daily = Table(
    "audit_counts_daily",
    metadata,
    *_counts(),
    UniqueConstraint("client_id", "day", "event_type", "severity", "status", postgresql_nulls_not_distinct=True),
    Index(None, "day"),
)

# The trigger's counts until they are folded into the days. Without a key, so that no insert waits for another.
audit_counts_pending = Table("audit_counts_pending", metadata, *_counts())


def _role_and_client() -> tuple[Column[Any] | CheckConstraint, ...]:
    """Returns the columns for the role of users and API keys, and for its scope."""
    return (
        Column("role", Text, nullable=False),
        Column("client_id", Uuid, ForeignKey("clients.id")),
        _one_of("role", "admin auditor client"),
        CheckConstraint(
            "(role = 'admin' AND client_id IS NULL) OR (role = 'client' AND client_id IS NOT NULL) OR role = 'auditor'",
            name="scope",
        ),
    )


users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    *_role_and_client(),
    _moment("created_at"),
    _moment("password_changed_at"),
    _moment("suspended_at", nullable=True),
    CheckConstraint("email = lower(email)", name="email"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    _moment("created_at"),
    _moment("last_used_at"),
    _moment("expires_at"),
    _moment("revoked_at", nullable=True),
    Column("ip_address", INET),
    Column("user_agent", Text),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("prefix", Text, nullable=False),
    *_role_and_client(),
    _moment("created_at"),
    _moment("expires_at", nullable=True),
    _moment("last_used_at", nullable=True),
    _moment("revoked_at", nullable=True),
    CheckConstraint("octet_length(key_hash) = 32", name="key_hash"),
)
