"""Checks of the settings: those that are allowed but unsafe in production, and keys that can be guessed.

Settings that are not allowed end every command before it starts. No finding shows the value of a key.
"""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, pairwise

from calyapp.config import AppEnv, LogLevel, Settings, WebhookAuth, is_public_key
from calyapp.doctor.diagnosis import NamedCheck, fail, ok, warn
from calyapp.health.checks import Finding
from calyapp.setting_kinds import Networks, Secret

_MIN_BITS = 96
_NEW_KEY = 'Create a new key for each: python3 -c "import secrets; print(secrets.token_hex(32))"'
_PREVIOUS_SUFFIX = "_PREVIOUS"


def checks(settings: Settings) -> list[NamedCheck]:
    """Returns the checks that need only the settings."""
    return [
        NamedCheck("configuration", lambda: check_environment(settings)),
        NamedCheck("trust", lambda: check_trust(settings)),
        NamedCheck("keys", lambda: check_keys(settings)),
    ]


def check_environment(settings: Settings) -> Iterator[Finding]:
    """Checks the environment, the webhook authentication and the log level."""
    yield ok(f"{settings.app_env}, webhook keys {settings.webhook_auth}, log level {settings.log_level}")
    if settings.app_env is not AppEnv.PRODUCTION:
        yield warn(f"APP_ENV is {settings.app_env}", "Set APP_ENV=production where real calls arrive.")
    elif settings.webhook_auth is WebhookAuth.OPTIONAL:
        yield warn(
            "deliveries without a webhook key are accepted",
            "Register with Exotel the URLs that `flask caly clients show CLIENT --with-key` prints, "
            "then set WEBHOOK_AUTH=required.",
        )
    if settings.log_level is LogLevel.DEBUG:
        yield warn("LOG_LEVEL is debug", "Set LOG_LEVEL=info: debug fills the disk.")


def check_trust(settings: Settings) -> Iterator[Finding]:
    """Checks that only named networks may set forwarded headers and see the details of health."""
    yield ok("only named networks are trusted")
    if _includes_every_address(settings.trusted_proxies):
        yield fail(
            "TRUSTED_PROXIES includes every address, so any sender can claim another address and HTTPS",
            "Name in TRUSTED_PROXIES only the proxies in front of Caly; for nginx on this host: unset it.",
        )
    if _includes_every_address(settings.health_trusted):
        yield fail(
            "HEALTH_TRUSTED includes every address, so anyone can read the details of health and metrics",
            "Name in HEALTH_TRUSTED only the networks of your monitoring.",
        )


def _includes_every_address(networks: Networks) -> bool:
    """Returns whether the networks together hold (nearly) every address of IPv4 or of IPv6."""
    for family in {network.version for network in networks}:
        of_family = [network for network in networks if network.version == family]
        # Half of all addresses counts as all: no operator owns so many.
        if sum(network.num_addresses for network in of_family) >= 2 ** (of_family[0].max_prefixlen - 1):
            return True
    return False


def check_keys(settings: Settings) -> Iterator[Finding]:
    """Checks for keys that are public, weak or used twice, and for previous keys that are still set."""
    keys = _keys(settings)
    yield ok(f"{len(keys)} keys, none of them weak, each with one purpose")
    public = [variable for variable, key in keys.items() if is_public_key(key.decode())]
    weak = [variable for variable, key in keys.items() if variable not in public and _bits(key) < _MIN_BITS]
    if public:
        yield warn(f"public, so anyone can use them: {', '.join(public)}", _NEW_KEY)
    if weak:
        yield warn(f"too regular, so they can be guessed: {', '.join(weak)}", _NEW_KEY)
    for variable in keys:
        if variable.endswith(_PREVIOUS_SUFFIX):
            yield ok(f"{variable} is still set: unset it when nothing uses it any more")
    for one, other in combinations(keys, 2):
        if keys[one] == keys[other]:
            yield _same_key(one, other)


def _same_key(one: str, other: str) -> Finding:
    if other == one + _PREVIOUS_SUFFIX:
        return warn(f"{other} is the same as {one}", f"Unset {other}, or set it to the previous key.")
    return fail(f"{one} and {other} are the same: a leak of one is a leak of both", _NEW_KEY)


def _keys(settings: Settings) -> dict[str, bytes]:
    """Returns the keys that are set, by environment variable."""
    keys = {}
    for name, setting in Settings.declared().items():
        value = getattr(settings, name)
        if isinstance(value, Secret) and isinstance(key := value.reveal(), bytes):
            keys[setting.variable] = _as_written(key, setting.variable)
    return keys


def _as_written(key: bytes, variable: str) -> bytes:
    """Returns the key as in the environment, so that two variables with the same text compare as equal."""
    return key.hex().encode() if variable.startswith("ENCRYPTION_KEY") else key


def _bits(key: bytes) -> float:
    """Estimates the strength of a key. Repetition, few different bytes and even steps make it weak."""
    once = key[: _period(key)]
    steps = bytes((after - before) % 256 for before, after in pairwise(once))
    return min(_entropy(once), _entropy(steps)) * len(once)


def _period(key: bytes) -> int:
    """Returns the number of bytes after which the key repeats itself."""
    return next((step for step in range(1, len(key)) if key[step:] == key[:-step]), len(key))


def _entropy(text: bytes) -> float:
    """Returns the Shannon entropy, in bits for each byte."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
