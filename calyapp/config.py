"""Every setting, declared once: variable, default, kind and a sentence. Only here is the environment read.

All of it is checked at start, and all that is wrong is said at once. Knows nothing of who uses a setting.
"""
# ruff: noqa: RUF009 - setting() is dataclasses.field() with the metadata filled in, and shares nothing.

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from calyapp.setting_kinds import (
    DATABASE_URL,
    FOLDER,
    HEX_KEY,
    KEY,
    LANGUAGE,
    LIMITS_URL,
    LINE,
    NETWORKS,
    RATE,
    STREAM_URL,
    VOICE,
    WEB_URL,
    Kind,
    Networks,
    Secret,
    choice,
    whole,
)

__all__ = ["AppEnv", "ConfigurationError", "LogLevel", "Secret", "Setting", "Settings", "WebhookAuth", "is_public_key"]


class ConfigurationError(Exception):
    """The environment cannot be used; the message has a line for each problem, and no value in it."""


class AppEnv(StrEnum):
    """What a process is for."""

    DEVELOPMENT = "development"
    TESTING = "testing"
    PRODUCTION = "production"


class WebhookAuth(StrEnum):
    """Whether a delivery must carry its client's webhook key."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class LogLevel(StrEnum):
    """The least important log lines that are still written."""

    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable of the environment; empty and unset are the same.

    Unset it takes its default, which may be another one in development and tests. Production refuses to start
    without what it needs, and with a development key.
    """

    variable: str
    default: str
    kind: Kind
    meaning: str
    development: str
    needed: bool

    def value(self, environ: Mapping[str, str]) -> Any:
        """What the environment says, or None; raises ConfigurationError."""
        if _in_production(environ):
            text = environ.get(self.variable) or self.default
            self._check_for_production(text)
        else:
            text = environ.get(self.variable) or self.development
        return self._read(text) if text else None

    @property
    def is_key(self) -> bool:
        """Whether its value must be known to nobody else."""
        return self.kind in (KEY, HEX_KEY)

    def _check_for_production(self, text: str) -> None:
        if self.needed and not text:
            raise ConfigurationError(f"{self.variable} must be set in production: {self.kind.what}.")
        if self.is_key and is_public_key(text):
            raise ConfigurationError(
                f"{self.variable} must be your own key in production: this one is public. "
                "Make one with `openssl rand -hex 32`."
            )

    def _read(self, text: str) -> Any:
        try:
            return self.kind.read(text)
        except ValueError:
            raise ConfigurationError(f"{self.variable} must be {self.kind.what}.") from None


def is_public_key(text: str) -> bool:
    """Whether anybody can read this key: it is one of those for development, or the example of old documentation."""
    development = {setting.development.lower() for setting in Settings.declared().values() if setting.is_key}
    return text.lower() in development - {""} or bool(_EXAMPLE_KEY.fullmatch(text))


def _in_production(environ: Mapping[str, str]) -> bool:
    # An unclear APP_ENV is refused for itself; the rest is then judged as strictly as can be.
    return environ.get("APP_ENV") not in (AppEnv.DEVELOPMENT, AppEnv.TESTING)


def setting(variable: str, default: str, kind: Kind, meaning: str, development: str | None = None) -> Any:
    """A field of Settings. Returns Any, as `dataclasses.field` does: the field states its own type."""
    development = default if development is None else development
    return field(metadata={"setting": Setting(variable, default, kind, meaning, development, needed=False)})


def needed(variable: str, kind: Kind, meaning: str, development: str) -> Any:
    """A field without which production does not start."""
    return field(metadata={"setting": Setting(variable, "", kind, meaning, development, needed=True)})


_WHERE = "Settings are environment variables, on a server in /etc/caly/caly.env; deploy/caly.env.example explains each."
_MILLISECONDS = whole(1, 86_400_000)
_EXAMPLE_KEY = re.compile(r"(?:0123456789abcdef)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one deployment decides."""

    # The process
    app_env: AppEnv = setting(
        "APP_ENV", "production", choice(AppEnv), "What it is for: development, testing or production."
    )
    web_concurrency: int | None = setting(
        "WEB_CONCURRENCY",
        "",
        whole(1, 256),
        "Worker processes; unset, one a core where redis:// counts for all of them.",
    )
    log_level: LogLevel = setting(
        "LOG_LEVEL", "info", choice(LogLevel), "The least important lines to log: error, warn, info, debug."
    )

    # The database
    database_url: Secret[str] | None = needed(
        "DATABASE_URL", DATABASE_URL, "The PostgreSQL server; in development an embedded one if unset.", ""
    )
    db_pool_max: int = setting("DB_POOL_MAX", "20", whole(2, 1000), "Connections of one worker process, at most.")
    db_pool_min: int = setting(
        "DB_POOL_MIN", "5", whole(1, 1000), "Connections of one worker process that are kept open."
    )
    db_idle_timeout_ms: int = setting(
        "DB_IDLE_TIMEOUT", "30000", _MILLISECONDS, "Milliseconds until an idle connection is replaced."
    )
    db_connection_timeout_ms: int = setting(
        "DB_CONNECTION_TIMEOUT", "10000", _MILLISECONDS, "Milliseconds to wait for a connection."
    )
    db_statement_timeout_ms: int = setting(
        "DB_STATEMENT_TIMEOUT", "30000", _MILLISECONDS, "Milliseconds that a statement may take."
    )
    db_max_uses: int = setting(
        "DB_MAX_USES", "10000", whole(1, 1_000_000_000), "Checkouts until a connection is replaced."
    )

    # Keys. Those for development stand here for everybody to read: production refuses them.
    secret_key: Secret[bytes] = needed(
        "SECRET_KEY", KEY, "Signs the cursors of lists.", "development only, never in production: secret key"
    )
    webhook_root_key: Secret[bytes] = needed(
        "WEBHOOK_ROOT_KEY",
        KEY,
        "Root of the clients' webhook keys; a new one means new URLs at Exotel.",
        "development only, never in production: webhook root",
    )
    webhook_root_key_previous: Secret[bytes] | None = setting(
        "WEBHOOK_ROOT_KEY_PREVIOUS",
        "",
        KEY,
        "The root before; webhook keys under it stay good while it is set.",
    )
    stream_token_key: Secret[bytes] = needed(
        "STREAM_TOKEN_KEY",
        KEY,
        "Signs the tokens in stream URLs; shared with the media server.",
        "development only, never in production: stream tokens",
    )
    stream_token_key_previous: Secret[bytes] | None = setting(
        "STREAM_TOKEN_KEY_PREVIOUS",
        "",
        KEY,
        "The key before; `secrets check-token` takes its tokens while it is set, as the media server must.",
    )
    encryption_key: Secret[bytes] = needed(
        "ENCRYPTION_KEY",
        HEX_KEY,
        "Encrypts secrets at rest; 64 hexadecimal digits.",
        b"development only, never in prod!".hex(),
    )
    encryption_key_previous: Secret[bytes] | None = setting(
        "ENCRYPTION_KEY_PREVIOUS",
        "",
        HEX_KEY,
        "The key before; secrets under it stay readable while it is set.",
    )

    # Calls
    public_url: str | None = setting(
        "PUBLIC_URL",
        "",
        WEB_URL,
        "The address under which Exotel reaches the service, such as https://caly.example.",
    )
    webhook_auth: WebhookAuth = setting(
        "WEBHOOK_AUTH",
        "required",
        choice(WebhookAuth),
        "Whether a delivery must carry its client's key: required or optional (as in development).",
        development="optional",
    )
    stream_base_url: str = setting(
        "STREAM_BASE_URL", "ws://localhost:9000", STREAM_URL, "The media server; production demands wss://."
    )
    stream_token_ttl_seconds: int = setting(
        "STREAM_TOKEN_TTL", "120", whole(1, 86_400), "Seconds for which the token in a stream URL is good."
    )
    say_text: str = setting(
        "SAY_TEXT",
        "नमस्ते, कृपया एक पल रुकिए, हम अभी आपसे बात करते हैं।",
        LINE,
        "The greeting that a caller hears; each client may have its own.",
    )
    say_voice: str = setting("SAY_VOICE", "woman", VOICE, "The voice of the greeting.")
    say_language: str = setting("SAY_LANGUAGE", "hi-IN", LANGUAGE, "The language of the greeting.")

    # Who is believed, and who may ask how often
    trusted_proxies: Networks = setting(
        "TRUSTED_PROXIES",
        "127.0.0.1/32,::1/128",
        NETWORKS,
        "Peers whose X-Forwarded-* and X-Request-ID headers are believed.",
    )
    health_trusted: Networks = setting(
        "HEALTH_TRUSTED",
        "127.0.0.0/8,::1/128",
        NETWORKS,
        "Networks that may read /health/detailed and /health/metrics without a key.",
    )
    ratelimit_storage_uri: Secret[str] = setting(
        "RATELIMIT_STORAGE_URI",
        "memory://",
        LIMITS_URL,
        "Where requests are counted; several workers need redis://.",
    )
    ratelimit_login: str = setting("RATELIMIT_LOGIN", "6/15 minutes", RATE, "Attempts to sign in.")
    ratelimit_api: str = setting("RATELIMIT_API", "100/15 minutes", RATE, "Requests to the records API.")
    ratelimit_webhook: str = setting("RATELIMIT_WEBHOOK", "1000/minute", RATE, "Deliveries from Exotel.")
    ratelimit_upload: str = setting("RATELIMIT_UPLOAD", "10/hour", RATE, "Imports of files.")

    # The spool
    spool_dir: Path = setting(
        "SPOOL_DIR", "var/spool", FOLDER, "Where deliveries wait on disk while PostgreSQL is away."
    )
    spool_max_mb: int = setting(
        "SPOOL_MAX_MB", "512", whole(16, 1_048_576), "Megabytes that the spool may take at most."
    )

    # The vulnerability scan
    scan_dir: Path = setting(
        "SCAN_DIR",
        "var/scan",
        FOLDER,
        "Where the reports of vulnerability scans are kept; the health check reads them.",
    )

    @property
    def workers(self) -> int:
        """Worker processes. Those of `memory://` would each count for itself, and together let too many pass."""
        counts_for_all = self.ratelimit_storage_uri != Secret("memory://")
        return self.web_concurrency or (max(2, len(os.sched_getaffinity(0))) if counts_for_all else 1)

    @classmethod
    def declared(cls) -> dict[str, Setting]:
        """The declarations by the names of their fields, in the order above."""
        return {field.name: field.metadata["setting"] for field in fields(cls)}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """The settings that these variables give; raises ConfigurationError with all that is wrong."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, setting in cls.declared().items():
            try:
                values[name] = setting.value(environ)
            except ConfigurationError as problem:
                problems.append(str(problem))
        problems += _contradictions(values)
        if problems:
            raise ConfigurationError("\n".join([*problems, _WHERE]))
        return cls(**values)


def _contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong between settings that are each fine; those refused are missing in `values`."""
    most = values.get("db_pool_max")
    if most and values.get("db_pool_min", 0) > most:
        yield "DB_POOL_MIN must be at most DB_POOL_MAX."
    if values.get("app_env") is not AppEnv.PRODUCTION:
        return
    if not values.get("stream_base_url", "wss://").startswith("wss://"):
        yield "STREAM_BASE_URL must begin with wss:// in production: calls are not sent in clear."
    if not (values.get("public_url") or "https://").startswith("https://"):
        yield "PUBLIC_URL must begin with https:// in production: webhook keys are not sent in clear."
    if (values.get("web_concurrency") or 1) > 1 and values.get("ratelimit_storage_uri") == Secret("memory://"):
        yield "RATELIMIT_STORAGE_URI must begin with redis:// in production while WEB_CONCURRENCY is above 1."
