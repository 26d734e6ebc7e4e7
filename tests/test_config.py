"""Settings: their defaults, the requirements of production, and errors for an invalid environment."""

import dataclasses
import os
import re
import shlex
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.config import AppEnv, ConfigurationError, LogLevel, Secret, Setting, Settings, WebhookAuth

EXAMPLE = Path(__file__).parent.parent / "deploy" / "caly.env.example"

DECLARED = list(Settings.declared().values())
KEYS = ["SECRET_KEY", "WEBHOOK_ROOT_KEY", "STREAM_TOKEN_KEY", "ENCRYPTION_KEY"]
PREVIOUS = ["WEBHOOK_ROOT_KEY_PREVIOUS", "STREAM_TOKEN_KEY_PREVIOUS", "ENCRYPTION_KEY_PREVIOUS"]

PRODUCTION = {
    "DATABASE_URL": "postgresql://caly:s3cret@db/caly",
    "STREAM_BASE_URL": "wss://media.example",
    **{name: f"{index}a" * 32 for index, name in enumerate(KEYS)},
}


PUBLIC = "must be a key of your own in production: this one is public. Make one with `openssl rand -hex 32`."


def production(**changes: str) -> dict[str, str]:
    return PRODUCTION | changes


def problems(environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_env(environ)
    *problems, where = str(refused.value).splitlines()
    assert "caly.env.example" in where
    return problems


class TestDevelopment:
    def test_requires_no_setting(self) -> None:
        settings = Settings.from_env({"APP_ENV": "development"})

        assert settings.app_env is AppEnv.DEVELOPMENT
        assert settings.database_url is None
        assert settings.webhook_auth is WebhookAuth.OPTIONAL
        assert settings.stream_base_url == "ws://localhost:9000"

    def test_has_keys_that_are_marked_as_development_keys(self) -> None:
        settings = Settings.from_env({"APP_ENV": "development"})

        keys = [settings.secret_key, settings.webhook_root_key, settings.stream_token_key, settings.encryption_key]
        assert all(key.reveal().startswith(b"development only, never in prod") for key in keys)
        assert len(set(keys)) == 4

    def test_has_the_defaults_of_testing(self) -> None:
        development = Settings.from_env({"APP_ENV": "development"})
        testing = Settings.from_env({"APP_ENV": "testing"})

        assert dataclasses.replace(development, app_env=AppEnv.TESTING) == testing

    def test_accepts_several_workers_with_separate_rate_limits(self) -> None:
        assert Settings.from_env({"APP_ENV": "development", "WEB_CONCURRENCY": "4"}).workers == 4


class TestWorkers:
    SHARED: ClassVar = {"APP_ENV": "testing", "RATELIMIT_STORAGE_URI": "redis://cache/0"}

    def test_default_to_one_without_a_shared_rate_limit(self) -> None:
        assert Settings.from_env({"APP_ENV": "testing"}).workers == 1

    def test_default_to_one_per_core_but_at_least_two_with_redis(self) -> None:
        assert Settings.from_env(self.SHARED).workers == max(2, len(os.sched_getaffinity(0)))

    def test_are_as_many_as_the_setting_says(self) -> None:
        assert Settings.from_env(self.SHARED | {"WEB_CONCURRENCY": "7"}).workers == 7


class TestProduction:
    def test_is_the_default(self) -> None:
        assert Settings.from_env(PRODUCTION).app_env is AppEnv.PRODUCTION

    def test_requires_webhook_keys_by_default(self) -> None:
        assert Settings.from_env(PRODUCTION).webhook_auth is WebhookAuth.REQUIRED
        assert Settings.from_env(production(WEBHOOK_AUTH="optional")).webhook_auth is WebhookAuth.OPTIONAL

    @pytest.mark.parametrize("name", [*KEYS, "DATABASE_URL"])
    @pytest.mark.parametrize("value", [None, ""])
    def test_requires_each_key_and_the_database(self, name: str, value: str | None) -> None:
        environ = {key: text for key, text in PRODUCTION.items() if key != name}
        if value is not None:
            environ[name] = value

        (problem,) = problems(environ)

        assert problem.startswith(f"{name} must be set in production")

    def test_keys_in_this_module_are_complete(self) -> None:
        assert {setting.variable for setting in DECLARED if setting.is_key} == {*KEYS, *PREVIOUS}

    @pytest.mark.parametrize("name", KEYS + PREVIOUS)
    @pytest.mark.parametrize("key", ["0123456789abcdef" * 4, "0123456789ABCDEF" * 4])
    def test_refuses_the_key_from_old_documentation(self, name: str, key: str) -> None:
        assert problems(production(**{name: key})) == [f"{name} {PUBLIC}"]

    @pytest.mark.parametrize("name", ["SECRET_KEY", "WEBHOOK_ROOT_KEY_PREVIOUS", "STREAM_TOKEN_KEY"])
    @pytest.mark.parametrize("times", [2, 3, 8])
    def test_refuses_that_key_in_every_length(self, name: str, times: int) -> None:
        assert problems(production(**{name: "0123456789abcdef" * times})) == [f"{name} {PUBLIC}"]

    @pytest.mark.parametrize("known", [setting for setting in DECLARED if setting.variable in KEYS])
    @pytest.mark.parametrize("name", ["SECRET_KEY", "STREAM_TOKEN_KEY", "WEBHOOK_ROOT_KEY_PREVIOUS"])
    def test_refuses_development_keys_in_every_key_setting(self, name: str, known: Setting) -> None:
        assert problems(production(**{name: known.development})) == [f"{name} {PUBLIC}"]

    @pytest.mark.parametrize("name", ["ENCRYPTION_KEY", "ENCRYPTION_KEY_PREVIOUS"])
    def test_refuses_the_development_encryption_key(self, name: str) -> None:
        (known,) = (setting.development for setting in DECLARED if setting.variable == "ENCRYPTION_KEY")

        assert problems(production(**{name: known.upper()})) == [f"{name} {PUBLIC}"]

    @pytest.mark.parametrize("url", ["", "ws://media.example"])
    def test_requires_tls_for_streams(self, url: str) -> None:
        (problem,) = problems(production(STREAM_BASE_URL=url))

        assert problem.startswith("STREAM_BASE_URL must begin with wss:// in production")

    def test_requires_tls_for_webhook_keys(self) -> None:
        (problem,) = problems(production(PUBLIC_URL="http://caly.example"))

        assert problem.startswith("PUBLIC_URL must begin with https:// in production")

    def test_refuses_several_workers_with_separate_rate_limits(self) -> None:
        (problem,) = problems(production(WEB_CONCURRENCY="2"))

        assert "RATELIMIT_STORAGE_URI" in problem
        assert "WEB_CONCURRENCY" in problem

    def test_accepts_several_workers_with_shared_rate_limits(self) -> None:
        settings = Settings.from_env(production(WEB_CONCURRENCY="2", RATELIMIT_STORAGE_URI="redis://cache:6379/0"))

        assert settings.ratelimit_storage_uri.reveal() == "redis://cache:6379/0"


class TestEveryEnvironment:
    @pytest.mark.parametrize("name", KEYS + PREVIOUS)
    @pytest.mark.parametrize("app_env", list(AppEnv))
    def test_refuses_a_short_key(self, app_env: AppEnv, name: str) -> None:
        (problem,) = problems(production(APP_ENV=app_env, **{name: "abcdef0123456789"}))

        assert problem.startswith(f"{name} must be ")
        assert "abcdef" not in problem

    def test_converts_values_to_their_types(self) -> None:
        settings = Settings.from_env(
            production(
                LOG_LEVEL="debug",
                DB_POOL_MAX="8",
                DB_POOL_MIN="8",
                STREAM_BASE_URL="wss://media.example/live/",
                TRUSTED_PROXIES="10.0.0.0/8, ::1/128",
                SPOOL_DIR="/var/lib/caly/spool",
                ENCRYPTION_KEY_PREVIOUS="ab" * 32,
            )
        )

        assert settings.log_level is LogLevel.DEBUG
        assert (settings.db_pool_min, settings.db_pool_max) == (8, 8)
        assert settings.stream_base_url == "wss://media.example/live"
        assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
        assert settings.spool_dir == Path("/var/lib/caly/spool")
        assert settings.encryption_key_previous == Secret(b"\xab" * 32)
        assert settings.webhook_root_key_previous is None

    def test_refuses_a_spool_too_small_to_drain_itself(self) -> None:
        assert Settings.from_env(production(SPOOL_MAX_MB="16")).spool_max_mb == 16

        (problem,) = problems(production(SPOOL_MAX_MB="15"))
        assert problem.startswith("SPOOL_MAX_MB must be ")

    @pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
    def test_normalises_the_database_url(self, scheme: str) -> None:
        settings = Settings.from_env(production(DATABASE_URL=f"{scheme}://caly:s3cret@db/caly"))

        assert settings.database_url == Secret("postgresql+psycopg2://caly:s3cret@db/caly")

    def test_refuses_more_idle_connections_than_the_maximum(self) -> None:
        assert problems(production(DB_POOL_MAX="4", DB_POOL_MIN="5")) == ["DB_POOL_MIN must be at most DB_POOL_MAX."]

    def test_reports_all_errors_together(self) -> None:
        environ = production(SECRET_KEY="", DB_POOL_MAX="1e3", LOG_LEVEL="loud", WEB_CONCURRENCY="3")

        sentences = problems(environ)

        assert [sentence.split()[0] for sentence in sentences] == [
            "LOG_LEVEL",
            "DB_POOL_MAX",
            "SECRET_KEY",
            "RATELIMIT_STORAGE_URI",
        ]

    def test_treats_an_invalid_app_env_as_production(self) -> None:
        sentences = problems({"APP_ENV": "Development"})

        assert sentences[0] == "APP_ENV must be one of development, testing, production."
        assert {f"{name} must be set in production" for name in KEYS} <= {s.partition(":")[0] for s in sentences}

    @pytest.mark.parametrize("setting", DECLARED, ids=lambda setting: setting.variable)
    def test_names_the_variable_but_never_its_value(self, setting: Setting) -> None:
        problem, *_ = problems(production(**{setting.variable: " s3cr\0et \n"}))

        assert problem.startswith(f"{setting.variable} must be ")
        assert problem.endswith(".")
        assert "s3cr" not in problem

    def test_ignores_unknown_variables(self) -> None:
        assert Settings.from_env(production(PATH="/bin", DB_POOL="x")) == Settings.from_env(PRODUCTION)

    @given(st.dictionaries(st.sampled_from([s.variable for s in DECLARED]), st.text()))
    def test_reads_or_refuses_any_environment(self, environ: dict[str, str]) -> None:
        try:
            Settings.from_env(environ)
            sentences = []
        except ConfigurationError as refused:
            *sentences, _where = str(refused).splitlines()

        assert all(re.match(r"[A-Z_]+ must .*\.$", sentence) for sentence in sentences)

    def test_shows_no_secret(self) -> None:
        shown = repr(
            Settings.from_env(
                production(RATELIMIT_STORAGE_URI="redis://:s3cret@cache", **dict.fromkeys(PREVIOUS, "9b" * 32))
            )
        )

        assert "s3cret" not in shown
        assert not re.search(r"(?:[0-9][ab]){8}", shown)
        assert "secret_key=***" in shown


class TestExample:
    """deploy/caly.env.example, which operators copy and complete."""

    def test_contains_every_setting_in_order_with_its_default(self) -> None:
        assert list(variables().items()) == [(setting.variable, setting.default) for setting in DECLARED]

    @pytest.mark.parametrize("setting", DECLARED, ids=lambda setting: setting.variable)
    def test_explains_each_setting(self, setting: Setting) -> None:
        assert f"\n# {setting.meaning}\n{setting.variable}=" in EXAMPLE.read_text()

    def test_explains_how_to_generate_a_key(self) -> None:
        assert 'python3 -c "import secrets; print(secrets.token_hex(32))"' in EXAMPLE.read_text()

    def test_is_accepted_in_production_when_it_is_complete(self) -> None:
        settings = Settings.from_env(variables() | PRODUCTION)

        assert settings == Settings.from_env(PRODUCTION)


def variables() -> dict[str, str]:
    """Returns the variables of the example as a shell and systemd read them."""
    lines = shlex.split(EXAMPLE.read_text(), comments=True)
    return dict(line.split("=", 1) for line in lines)
