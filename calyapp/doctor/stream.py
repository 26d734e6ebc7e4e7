"""Whether the media server is where callers are sent to."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from calyapp.config import Settings
from calyapp.doctor import network
from calyapp.doctor.diagnosis import NamedCheck, ok, warn
from calyapp.health.checks import Finding

_SECONDS = 3.0


def checks(settings: Settings) -> list[NamedCheck]:
    """One: of the server in STREAM_BASE_URL."""
    return [NamedCheck("stream", lambda: check_stream(settings.stream_base_url))]


def check_stream(url: str) -> Iterator[Finding]:
    """It takes connections. Production demands wss:// when it starts."""
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "wss"
    try:
        if is_secure:
            network.handshake(host, parts.port or 443, _SECONDS)
        else:
            network.connect(host, parts.port or 80, _SECONDS).close()
    except OSError as error:
        yield warn(
            f"the media server is away: {network.why(error)}",
            "Start the media server, or correct STREAM_BASE_URL: a caller sent there hears silence.",
        )
        return
    yield ok("the media server takes connections" + (" over TLS" if is_secure else ""))
