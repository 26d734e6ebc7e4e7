"""The check of the media server that callers are connected to."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from calyapp.config import Settings
from calyapp.doctor import network
from calyapp.doctor.diagnosis import NamedCheck, ok, warn
from calyapp.health.checks import Finding

_SECONDS = 3.0


def checks(settings: Settings) -> list[NamedCheck]:
    """Returns the check of the server in STREAM_BASE_URL."""
    return [NamedCheck("stream", lambda: check_stream(settings.stream_base_url))]


def check_stream(url: str) -> Iterator[Finding]:
    """Checks that the server accepts connections. In production the service only starts with wss://."""
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "wss"
    try:
        if is_secure:
            network.handshake(host, parts.port or 443, _SECONDS)
        else:
            network.connect(host, parts.port or 80, _SECONDS).close()
    except OSError as error:
        yield warn(
            f"the media server cannot be reached: {network.describe(error)}",
            "Start the media server, or correct STREAM_BASE_URL. Until then callers hear silence.",
        )
        return
    yield ok("the media server accepts connections" + (" over TLS" if is_secure else ""))
