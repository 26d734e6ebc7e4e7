"""All settings. Each one is declared once, with its variable, default, kind and meaning.

Only this module reads the environment. It checks all settings at start and reports all problems at once. It does not
know who uses a setting.
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
    """The environment is not usable. The message has one line for each problem, and contains no value."""


class AppEnv(StrEnum):
    """The environments that a process can run in."""

    DEVELOPMENT = "development"
    TESTING = "testing"
    PRODUCTION = "production"


class WebhookAuth(StrEnum):
    """Whether a delivery must carry its client's webhook key."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class LogLevel(StrEnum):
    """The lowest level of log lines that are written."""

    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. An empty variable counts as unset.

    An unset variable takes its default, which can differ in development and tests. Production does not start without a
    variable that is `needed`, or with a development key.
    """

    variable: str
    default: str
    kind: Kind
    meaning: str
    development: str
    needed: bool

    def value(self, environ: Mapping[str, str]) -> Any:
        """Returns the parsed value, or None if the setting is optional and unset. Raises `ConfigurationError`."""
        if _in_production(environ):
            text = environ.get(self.variable) or self.default
            self._check_for_production(text)
        else:
            text = environ.get(self.variable) or self.development
        return self._read(text) if text else None

    @property
    def is_key(self) -> bool:
        """Whether the value must stay secret."""
        return self.kind in (KEY, HEX_KEY)

    def _check_for_production(self, text: str) -> None:
        if self.needed and not text:
            raise ConfigurationError(f"{self.variable} must be set in production: {self.kind.what}.")
        if self.is_key and is_public_key(text):
            raise ConfigurationError(
                f"{self.variable} must be a key of your own in production: this one is public. "
                "Make one with `openssl rand -hex 32`."
            )

    def _read(self, text: str) -> Any:
        try:
            return self.kind.read(text)
        except ValueError:
            raise ConfigurationError(f"{self.variable} must be {self.kind.what}.") from None


def is_public_key(text: str) -> bool:
    """Returns whether a key is published: a development key, or the example of old documentation."""
    development = {setting.development.lower() for setting in Settings.declared().values() if setting.is_key}
    return text.lower() in development - {""} or bool(_EXAMPLE_KEY.fullmatch(text))


def _in_production(environ: Mapping[str, str]) -> bool:
    # An invalid APP_ENV is refused in its own check. The other settings are then checked as in production.
    return environ.get("APP_ENV") not in (AppEnv.DEVELOPMENT, AppEnv.TESTING)


def setting(variable: str, default: str, kind: Kind, meaning: str, development: str | None = None) -> Any:
    """Declares a field of `Settings`. Returns Any, as `dataclasses.field` does, because the field states its type."""
    development = default if development is None else development
    return field(metadata={"setting": Setting(variable, default, kind, meaning, development, needed=False)})


def needed(variable: str, kind: Kind, meaning: str, development: str) -> Any:
    """Declares a field that production does not start without."""
    return field(metadata={"setting": Setting(variable, "", kind, meaning, development, needed=True)})


_WHERE = "Settings are environment variables. On a server, set them in /etc/caly/caly.env; see deploy/caly.env.example."
_MILLISECONDS = whole(1, 86_400_000)
_EXAMPLE_KEY = re.compile(r"(?:0123456789abcdef)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one deployment."""

    # The process
    app_env: AppEnv = setting(
        "APP_ENV", "production", choice(AppEnv), "The environment: development, testing or production."
    )
    web_concurrency: int | None = setting(
        "WEB_CONCURRENCY",
        "",
        whole(1, 256),
        "Worker processes. Unset: one for each core (at least 2) with a Redis for rate limits, else one.",
    )
    log_level: LogLevel = setting(
        "LOG_LEVEL", "info", choice(LogLevel), "The lowest level to log: error, warn, info or debug."
    )

    # The database
    database_url: Secret[str] | None = needed(
        "DATABASE_URL", DATABASE_URL, "The PostgreSQL database. Unset in development: the embedded server.", ""
    )
    db_pool_max: int = setting(
        "DB_POOL_MAX", "20", whole(2, 1000), "Maximum number of connections of one worker process."
    )
    db_pool_min: int = setting("DB_POOL_MIN", "5", whole(1, 1000), "Connections that one worker process keeps open.")
    db_idle_timeout_ms: int = setting(
        "DB_IDLE_TIMEOUT", "30000", _MILLISECONDS, "Milliseconds after which an idle connection is replaced."
    )
    db_connection_timeout_ms: int = setting(
        "DB_CONNECTION_TIMEOUT", "10000", _MILLISECONDS, "Maximum wait for a connection, in milliseconds."
    )
    db_statement_timeout_ms: int = setting(
        "DB_STATEMENT_TIMEOUT", "30000", _MILLISECONDS, "Maximum duration of a statement, in milliseconds."
    )
    db_max_uses: int = setting(
        "DB_MAX_USES", "10000", whole(1, 1_000_000_000), "Number of uses after which a connection is replaced."
    )

    # Keys. The development keys are public, so production refuses them.
    secret_key: Secret[bytes] = needed(
        "SECRET_KEY", KEY, "Key that signs the cursors of lists.", "development only, never in production: secret key"
    )
    webhook_root_key: Secret[bytes] = needed(
        "WEBHOOK_ROOT_KEY",
        KEY,
        "Root of the clients' webhook keys. If it changes, all webhook URLs at Exotel change.",
        "development only, never in production: webhook root",
    )
    webhook_root_key_previous: Secret[bytes] | None = setting(
        "WEBHOOK_ROOT_KEY_PREVIOUS",
        "",
        KEY,
        "The previous root key. Webhook keys made from it stay valid while it is set.",
    )
    stream_token_key: Secret[bytes] = needed(
        "STREAM_TOKEN_KEY",
        KEY,
        "Key that signs the tokens in stream URLs. The media server has the same key.",
        "development only, never in production: stream tokens",
    )
    stream_token_key_previous: Secret[bytes] | None = setting(
        "STREAM_TOKEN_KEY_PREVIOUS",
        "",
        KEY,
        "The previous key. `secrets check-token` accepts its tokens while it is set, as the media server must.",
    )
    encryption_key: Secret[bytes] = needed(
        "ENCRYPTION_KEY",
        HEX_KEY,
        "Key that encrypts stored secrets: 64 hexadecimal digits.",
        b"development only, never in prod!".hex(),
    )
    encryption_key_previous: Secret[bytes] | None = setting(
        "ENCRYPTION_KEY_PREVIOUS",
        "",
        HEX_KEY,
        "The previous key. Secrets encrypted with it stay readable while it is set.",
    )

    # Calls
    public_url: str | None = setting(
        "PUBLIC_URL",
        "",
        WEB_URL,
        "URL at which Exotel reaches the service, for example https://caly.example.",
    )
    webhook_auth: WebhookAuth = setting(
        "WEBHOOK_AUTH",
        "required",
        choice(WebhookAuth),
        "Whether a delivery must carry its client's key: required, or optional (the default in development).",
        development="optional",
    )
    stream_base_url: str = setting(
        "STREAM_BASE_URL",
        "ws://localhost:9000",
        STREAM_URL,
        "Base URL of the media server. Production requires wss://.",
    )
    stream_token_ttl_seconds: int = setting(
        "STREAM_TOKEN_TTL", "120", whole(1, 86_400), "Seconds for which the token in a stream URL is valid."
    )
    say_text: str = setting(
        "SAY_TEXT",
        "नमस्ते, कृपया एक पल रुकिए, हम अभी आपसे बात करते हैं।",
        LINE,
        "The greeting that a caller hears. A client can have its own.",
    )
    say_voice: str = setting("SAY_VOICE", "woman", VOICE, "The voice of the greeting.")
    say_language: str = setting("SAY_LANGUAGE", "hi-IN", LANGUAGE, "The language of the greeting.")

    # Trusted networks and rate limits
    trusted_proxies: Networks = setting(
        "TRUSTED_PROXIES",
        "127.0.0.1/32,::1/128",
        NETWORKS,
        "Networks of the proxies whose X-Forwarded-* and X-Request-ID headers are trusted.",
    )
    health_trusted: Networks = setting(
        "HEALTH_TRUSTED",
        "127.0.0.0/8,::1/128",
        NETWORKS,
        "Networks that can read /health/detailed and /health/metrics without a key.",
    )
    ratelimit_storage_uri: Secret[str] = setting(
        "RATELIMIT_STORAGE_URI",
        "memory://",
        LIMITS_URL,
        "Where requests are counted. Several workers require redis://.",
    )
    ratelimit_login: str = setting("RATELIMIT_LOGIN", "6/15 minutes", RATE, "Limit of attempts to sign in.")
    ratelimit_api: str = setting("RATELIMIT_API", "100/15 minutes", RATE, "Limit of requests to the records API.")
    ratelimit_webhook: str = setting(
        "RATELIMIT_WEBHOOK", "1000/minute", RATE, "Limit of deliveries from Exotel for each client."
    )
    ratelimit_upload: str = setting("RATELIMIT_UPLOAD", "10/hour", RATE, "Limit of file imports.")

    # The spool
    spool_dir: Path = setting(
        "SPOOL_DIR", "var/spool", FOLDER, "Folder in which deliveries wait while PostgreSQL is unavailable."
    )
    spool_max_mb: int = setting("SPOOL_MAX_MB", "512", whole(16, 1_048_576), "Maximum size of the spool, in megabytes.")

    # The vulnerability scan
    scan_dir: Path = setting(
        "SCAN_DIR",
        "var/scan",
        FOLDER,
        "Folder of the vulnerability scan reports, which the health check reads.",
    )

    @property
    def workers(self) -> int:
        """The number of worker processes. With `memory://` one, because each worker would count requests for itself."""
        counts_for_all = self.ratelimit_storage_uri != Secret("memory://")
        return self.web_concurrency or (max(2, len(os.sched_getaffinity(0))) if counts_for_all else 1)

    @classmethod
    def declared(cls) -> dict[str, Setting]:
        """Returns the declarations by field name, in the order above."""
        return {field.name: field.metadata["setting"] for field in fields(cls)}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Returns the settings of an environment. Raises `ConfigurationError` that names all problems."""
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
    """Yields the problems between valid settings. Settings that were refused are missing in `values`."""
    pool_max = values.get("db_pool_max")
    if pool_max and values.get("db_pool_min", 0) > pool_max:
        yield "DB_POOL_MIN must be at most DB_POOL_MAX."
    if values.get("app_env") is not AppEnv.PRODUCTION:
        return
    if not values.get("stream_base_url", "wss://").startswith("wss://"):
        yield "STREAM_BASE_URL must begin with wss:// in production: calls must be encrypted."
    if not (values.get("public_url") or "https://").startswith("https://"):
        yield "PUBLIC_URL must begin with https:// in production: webhook keys must be encrypted in transit."
    if (values.get("web_concurrency") or 1) > 1 and values.get("ratelimit_storage_uri") == Secret("memory://"):
        yield "RATELIMIT_STORAGE_URI must begin with redis:// in production while WEB_CONCURRENCY is above 1."
