import secrets
from dataclasses import replace

import pytest

from calyapp.config import Settings
from calyapp.doctor import configuration
from calyapp.doctor.diagnosis import NamedCheck, Verdict, examine

NAMES = ("SECRET_KEY", "WEBHOOK_ROOT_KEY", "STREAM_TOKEN_KEY", "ENCRYPTION_KEY")


def production(**overrides: str) -> Settings:
    keys = {name: secrets.token_hex(32) for name in NAMES}
    return Settings.from_env(
        {
            "APP_ENV": "production",
            "DATABASE_URL": "postgresql://caly@localhost/caly",
            "STREAM_BASE_URL": "wss://media.example",
            **keys,
            **overrides,
        }
    )


def diagnosed(check, settings: Settings):
    (diagnosis,) = examine([NamedCheck("it", lambda: check(settings))])
    return diagnosis


class TestConfiguration:
    def test_of_production_passes(self):
        diagnosis = diagnosed(configuration.check_environment, production())

        assert diagnosis.verdict is Verdict.OK
        assert diagnosis.found == "production, webhook keys required, log level info"

    @pytest.mark.parametrize("setting", [("APP_ENV", "testing"), ("WEBHOOK_AUTH", "optional"), ("LOG_LEVEL", "debug")])
    def test_that_is_unsafe_in_production_warns_and_names_the_variable(self, setting):
        diagnosis = diagnosed(configuration.check_environment, production(**dict([setting])))

        assert diagnosis.verdict is Verdict.WARN
        assert setting[0] in diagnosis.remedy


class TestTrust:
    def test_in_named_networks_passes(self):
        settings = production(TRUSTED_PROXIES="10.0.0.0/8,192.168.0.0/16,fd00::/8", HEALTH_TRUSTED="10.1.0.0/16")

        assert diagnosed(configuration.check_trust, settings).verdict is Verdict.OK

    @pytest.mark.parametrize("networks", ["0.0.0.0/0", "::/0", "10.0.0.0/8,::/0", "0.0.0.0/1,128.0.0.0/1"])
    @pytest.mark.parametrize("variable", ["TRUSTED_PROXIES", "HEALTH_TRUSTED"])
    def test_in_every_address_fails(self, variable, networks):
        diagnosis = diagnosed(configuration.check_trust, production(**{variable: networks}))

        assert diagnosis.verdict is Verdict.FAIL
        assert variable in diagnosis.found


class TestKeys:
    @pytest.mark.parametrize("make", [lambda: secrets.token_hex(32), lambda: secrets.token_urlsafe(32)])
    def test_that_are_random_are_never_reported_as_weak(self, make):
        settings = [production(SECRET_KEY=make(), STREAM_TOKEN_KEY=make()) for _ in range(50)]

        assert {diagnosed(configuration.check_keys, each).verdict for each in settings} == {Verdict.OK}

    @pytest.mark.parametrize(
        "weak",
        [
            "a" * 64,
            "1a" * 32,
            "0123456789abcdef0" * 3,
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "password" * 4,
            "k3Xz9LmKq7Wb" * 4,
            "0000000000000000000000000000000000000000000000000000000000001234",
        ],
    )
    def test_that_can_be_guessed_warn(self, weak):
        diagnosis = diagnosed(configuration.check_keys, production(STREAM_TOKEN_KEY=weak))

        assert diagnosis.verdict is Verdict.WARN
        assert "STREAM_TOKEN_KEY" in diagnosis.found
        assert weak not in str(diagnosis)

    def test_that_are_public_warn(self):
        diagnosis = diagnosed(configuration.check_keys, Settings.from_env({"APP_ENV": "testing"}))

        assert diagnosis.verdict is Verdict.WARN
        assert diagnosis.found == f"public, so anyone can use them: {', '.join(NAMES)}"

    @pytest.mark.parametrize("other", ["SECRET_KEY", "ENCRYPTION_KEY"])
    def test_that_are_used_twice_fail(self, other):
        same = secrets.token_hex(32)

        diagnosis = diagnosed(configuration.check_keys, production(**{"WEBHOOK_ROOT_KEY": same, other: same}))

        assert diagnosis.verdict is Verdict.FAIL
        assert "WEBHOOK_ROOT_KEY" in diagnosis.found
        assert other in diagnosis.found
        assert same not in str(diagnosis)

    def test_that_are_previous_ones_are_mentioned(self):
        diagnosis = diagnosed(configuration.check_keys, production(ENCRYPTION_KEY_PREVIOUS=secrets.token_hex(32)))

        assert diagnosis.verdict is Verdict.OK
        assert "ENCRYPTION_KEY_PREVIOUS is still set" in diagnosis.found

    def test_that_are_both_current_and_previous_warn(self):
        settings = production()

        diagnosis = diagnosed(
            configuration.check_keys, replace(settings, webhook_root_key_previous=settings.webhook_root_key)
        )

        assert diagnosis.verdict is Verdict.WARN
        assert "WEBHOOK_ROOT_KEY_PREVIOUS" in diagnosis.remedy
