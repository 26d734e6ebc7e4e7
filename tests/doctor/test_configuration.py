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


def diagnosed(look, settings: Settings):
    (diagnosis,) = examine([NamedCheck("it", lambda: look(settings))])
    return diagnosis


class TestConfiguration:
    def test_of_production_is_fine(self):
        found = diagnosed(configuration.check_environment, production())

        assert found.verdict is Verdict.OK
        assert found.found == "production, webhook keys required, log level info"

    @pytest.mark.parametrize("setting", [("APP_ENV", "testing"), ("WEBHOOK_AUTH", "optional"), ("LOG_LEVEL", "debug")])
    def test_that_suits_no_production_warns_and_names_the_variable(self, setting):
        found = diagnosed(configuration.check_environment, production(**dict([setting])))

        assert found.verdict is Verdict.WARN
        assert setting[0] in found.remedy


class TestTrust:
    def test_in_named_networks_is_fine(self):
        settings = production(TRUSTED_PROXIES="10.0.0.0/8,192.168.0.0/16,fd00::/8", HEALTH_TRUSTED="10.1.0.0/16")

        assert diagnosed(configuration.check_trust, settings).verdict is Verdict.OK

    @pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0", "10.0.0.0/8,::/0", "0.0.0.0/1,128.0.0.0/1"])
    @pytest.mark.parametrize("variable", ["TRUSTED_PROXIES", "HEALTH_TRUSTED"])
    def test_in_everybody_fails(self, variable, everybody):
        found = diagnosed(configuration.check_trust, production(**{variable: everybody}))

        assert found.verdict is Verdict.FAIL
        assert variable in found.found


class TestKeys:
    @pytest.mark.parametrize("make", [lambda: secrets.token_hex(32), lambda: secrets.token_urlsafe(32)])
    def test_by_chance_are_never_called_weak(self, make):
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
        found = diagnosed(configuration.check_keys, production(STREAM_TOKEN_KEY=weak))

        assert found.verdict is Verdict.WARN
        assert "STREAM_TOKEN_KEY" in found.found
        assert weak not in str(found)

    def test_that_are_public_warn(self):
        found = diagnosed(configuration.check_keys, Settings.from_env({"APP_ENV": "testing"}))

        assert found.verdict is Verdict.WARN
        assert found.found == f"public, so anybody can use them: {', '.join(NAMES)}"

    @pytest.mark.parametrize("other", ["SECRET_KEY", "ENCRYPTION_KEY"])
    def test_with_two_purposes_fail(self, other):
        same = secrets.token_hex(32)

        found = diagnosed(configuration.check_keys, production(**{"WEBHOOK_ROOT_KEY": same, other: same}))

        assert found.verdict is Verdict.FAIL
        assert "WEBHOOK_ROOT_KEY" in found.found
        assert other in found.found
        assert same not in str(found)

    def test_from_before_are_remarked(self):
        found = diagnosed(configuration.check_keys, production(ENCRYPTION_KEY_PREVIOUS=secrets.token_hex(32)))

        assert found.verdict is Verdict.OK
        assert "ENCRYPTION_KEY_PREVIOUS is still set" in found.found

    def test_from_before_that_are_the_present_ones_warn(self):
        settings = production()

        found = diagnosed(
            configuration.check_keys, replace(settings, webhook_root_key_previous=settings.webhook_root_key)
        )

        assert found.verdict is Verdict.WARN
        assert "WEBHOOK_ROOT_KEY_PREVIOUS" in found.remedy
