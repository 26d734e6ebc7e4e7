"""Settings that are allowed and still not what production should run with, and keys that can be guessed.

What is refused never comes this far: it ends every command before it begins. No value of a key is ever shown.
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
_RENEW = 'Make a new key for each: python3 -c "import secrets; print(secrets.token_hex(32))"'
_PREVIOUS = "_PREVIOUS"


def checks(settings: Settings) -> list[NamedCheck]:
    """What can be said of the environment alone."""
    return [
        NamedCheck("configuration", lambda: check_environment(settings)),
        NamedCheck("trust", lambda: check_trust(settings)),
        NamedCheck("keys", lambda: check_keys(settings)),
    ]


def check_environment(settings: Settings) -> Iterator[Finding]:
    """What the process is for, and what it lets in and writes down."""
    yield ok(f"{settings.app_env}, webhook keys {settings.webhook_auth}, log level {settings.log_level}")
    if settings.app_env is not AppEnv.PRODUCTION:
        yield warn(f"APP_ENV is {settings.app_env}", "Set APP_ENV=production where real calls arrive.")
    elif settings.webhook_auth is WebhookAuth.OPTIONAL:
        yield warn(
            "deliveries without a webhook key are taken",
            "Register with Exotel the URLs that `flask caly clients show CLIENT --with-key` prints, "
            "then set WEBHOOK_AUTH=required.",
        )
    if settings.log_level is LogLevel.DEBUG:
        yield warn("LOG_LEVEL is debug", "Set LOG_LEVEL=info: debug fills the disk.")


def check_trust(settings: Settings) -> Iterator[Finding]:
    """Whose headers are believed, and who may see the details."""
    yield ok("only named networks are believed")
    if _includes_every_address(settings.trusted_proxies):
        yield fail(
            "TRUSTED_PROXIES believes everybody, so anybody may claim any address and HTTPS",
            "Name in TRUSTED_PROXIES only the proxies in front of Caly; for nginx on this host: unset it.",
        )
    if _includes_every_address(settings.health_trusted):
        yield fail(
            "HEALTH_TRUSTED shows the details of health and metrics to everybody",
            "Name in HEALTH_TRUSTED only the networks that watch over Caly.",
        )


def _includes_every_address(networks: Networks) -> bool:
    """Whether they hold every address of a family; one network or several that together do."""
    for family in {network.version for network in networks}:
        of_family = [network for network in networks if network.version == family]
        # Half of all addresses is as good as all: nobody has so many of his own.
        if sum(network.num_addresses for network in of_family) >= 2 ** (of_family[0].max_prefixlen - 1):
            return True
    return False


def check_keys(settings: Settings) -> Iterator[Finding]:
    """Keys that are public, guessable, used for two purposes, or still there from before."""
    keys = _keys(settings)
    yield ok(f"{len(keys)} keys, none of them weak, each with one purpose")
    public = [variable for variable, key in keys.items() if is_public_key(key.decode())]
    weak = [variable for variable, key in keys.items() if variable not in public and _bits(key) < _MIN_BITS]
    if public:
        yield warn(f"public, so anybody can use them: {', '.join(public)}", _RENEW)
    if weak:
        yield warn(f"too regular or of too few different bytes, so they can be guessed: {', '.join(weak)}", _RENEW)
    for variable in keys:
        if variable.endswith(_PREVIOUS):
            yield ok(f"{variable} is still set: unset it when nothing made under it is in use")
    for one, other in combinations(keys, 2):
        if keys[one] == keys[other]:
            yield _same(one, other)


def _same(one: str, other: str) -> Finding:
    if other == one + _PREVIOUS:
        return warn(f"{other} is {one} itself", f"Unset {other}, or put the former key there.")
    return fail(f"{one} and {other} are the same: who learns one has both", _RENEW)


def _keys(settings: Settings) -> dict[str, bytes]:
    """Those that are set, by their variables."""
    found = {}
    for name, setting in Settings.declared().items():
        value = getattr(settings, name)
        if isinstance(value, Secret) and isinstance(key := value.reveal(), bytes):
            found[setting.variable] = _written(key, setting.variable)
    return found


def _written(key: bytes, variable: str) -> bytes:
    """As it stands in the environment: two variables with the same text are to be found the same."""
    return key.hex().encode() if variable.startswith("ENCRYPTION_KEY") else key


def _bits(key: bytes) -> float:
    """How hard it is to guess, from the outside: repetition, few different bytes and even steps make it easy."""
    once = key[: _period(key)]
    steps = bytes((after - before) % 256 for before, after in pairwise(once))
    return min(_entropy(once), _entropy(steps)) * len(once)


def _period(key: bytes) -> int:
    """After so many bytes it begins again."""
    return next((step for step in range(1, len(key)) if key[step:] == key[:-step]), len(key))


def _entropy(text: bytes) -> float:
    """Bits a byte, by how often each occurs."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
