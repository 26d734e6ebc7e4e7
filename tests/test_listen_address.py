import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from calyapp import listen_address
from calyapp.config import ConfigurationError
from calyapp.listen_address import ListenAddress

ROOT = Path(__file__).parents[1]


@pytest.fixture
def taken():
    """A loopback port on which a socket listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class TestFromEnv:
    def test_has_defaults(self):
        assert listen_address.from_env({"PORT": ""}) == ListenAddress("127.0.0.1", 8000)

    @pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "80.5", " 80"])
    def test_refuses_an_invalid_port(self, port):
        with pytest.raises(ConfigurationError, match=r"^PORT must be a whole number from 1 to 65535\.$"):
            listen_address.from_env({"PORT": port})


class TestListenAddress:
    @pytest.mark.parametrize(
        ("host", "bind", "url"),
        [
            ("127.0.0.1", "127.0.0.1:81", "http://127.0.0.1:81"),
            ("0.0.0.0", "0.0.0.0:81", "http://127.0.0.1:81"),  # noqa: S104 — text only
            ("::1", "[::1]:81", "http://[::1]:81"),
            ("::", "[::]:81", "http://[::1]:81"),
            ("localhost", "localhost:81", "http://localhost:81"),
        ],
    )
    def test_is_formatted_for_gunicorn_and_as_a_url(self, host, bind, url):
        address = ListenAddress(host, 81)

        assert (str(address), address.url) == (bind, url)

    def test_is_usable_if_it_is_free(self, taken):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

        ListenAddress("127.0.0.1", port).check()

    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104 — the bind must fail
    def test_is_refused_if_it_is_in_use(self, taken, host):
        with pytest.raises(ConfigurationError, match=f"^Another program listens on {host}:{taken}. .* set PORT"):
            ListenAddress(host, taken).check()

    @pytest.mark.parametrize(
        ("host", "reason"),
        [
            ("nowhere.invalid", "HOST=nowhere.invalid does not resolve to an address. Set it to 127.0.0.1"),
            ("192.0.2.1", "HOST=192.0.2.1 is not an address of this machine. Set it to 127.0.0.1"),
            ("2001:db8::1", "HOST=2001:db8::1 is not an address of this machine. Set it to 127.0.0.1"),
        ],
    )
    def test_is_refused_if_the_host_is_not_local(self, host, reason):
        with pytest.raises(ConfigurationError) as refusal:
            ListenAddress(host, 8000).check()

        assert str(refusal.value).startswith(reason)

    def test_is_refused_if_the_user_may_not_listen(self, monkeypatch):
        def refuse(_address):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(socket, "socket", lambda family: _Socket(family, refuse))

        with pytest.raises(
            ConfigurationError, match=r"^This user may not listen on port 80\. Set PORT to a port from 1024"
        ):
            ListenAddress("127.0.0.1", 80).check()


class _Socket:
    """Replaces the socket, because tests may run as root, who may listen on every port."""

    def __init__(self, _family, bind):
        self.bind = bind

    def setsockopt(self, *_arguments):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_raised):
        pass


class TestCommand:
    @pytest.mark.parametrize(("is_taken", "code", "lines"), [(True, 1, 1), (False, 0, 0)])
    def test_explains_why_the_address_cannot_be_used(self, taken, is_taken, code, lines):
        environment = {**os.environ, "HOST": "127.0.0.1" if is_taken else "127.0.0.9", "PORT": str(taken)}
        command = [sys.executable, "-m", "calyapp.listen_address"]

        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", lines)
