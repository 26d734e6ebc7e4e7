"""The address on which the service listens: HOST and PORT of the environment.

    python -m calyapp.listen_address

checks whether the address can be used, before anything is started. Does not know what listens there.
"""

import errno
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from calyapp.config import ConfigurationError
from calyapp.setting_kinds import whole

_PORT = whole(1, 65_535)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host (name or address) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Returns host and port in the form of Gunicorn's `bind` and of a URL."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def url(self) -> str:
        """The URL at which a program on this machine reaches the service."""
        address = _address(self.host)
        is_everywhere = address is not None and address.is_unspecified
        host = ("::1" if _is_ipv6(self.host) else "127.0.0.1") if is_everywhere else self.host
        return f"http://{_bracketed(host)}:{self.port}"

    def check(self) -> None:
        """Raises `ConfigurationError` if nothing can listen there."""
        family = socket.AF_INET6 if _is_ipv6(self.host) else socket.AF_INET
        with socket.socket(family) as probe:
            # As in Gunicorn, so that connections of a server that has just stopped do not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except socket.gaierror:
                raise ConfigurationError(f"HOST={self.host} does not resolve to an address. {_ALTERNATIVES}") from None
            except OSError as error:
                raise ConfigurationError(self._refusal(error)) from None

    def _refusal(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return f"Another program listens on {self}. Stop it, or set PORT to another port."
        if error.errno == errno.EADDRNOTAVAIL:
            return f"HOST={self.host} is not an address of this machine. {_ALTERNATIVES}"
        if error.errno == errno.EACCES:
            return f"This user may not listen on port {self.port}. Set PORT to a port from 1024 to 65535."
        return f"Cannot listen on {self}: {error.strerror}. Set HOST and PORT to another address."


def from_env(environ: Mapping[str, str]) -> ListenAddress:
    """Returns the address in HOST and PORT, by default 127.0.0.1 and 8000. Raises `ConfigurationError`."""
    try:
        port = _PORT.read(environ.get("PORT") or "8000")
    except ValueError:
        raise ConfigurationError(f"PORT must be {_PORT.what}.") from None
    return ListenAddress(environ.get("HOST") or "127.0.0.1", port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if _is_ipv6(host) else host


def _is_ipv6(host: str) -> bool:
    return isinstance(_address(host), IPv6Address)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


_ALTERNATIVES = "Set it to 127.0.0.1 for this machine alone, or to 0.0.0.0 for all its networks."

if __name__ == "__main__":
    try:
        from_env(os.environ).check()
    except ConfigurationError as refusal:
        sys.exit(str(refusal))
