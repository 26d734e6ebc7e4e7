"""A real PgBouncer in front of a database, for a test. Debian's package `pgbouncer`; without it the test is skipped."""

import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url

from calyapp.embedded.postgres_programs import Programs

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


class PgBouncerServer:
    """A PgBouncer in front of the database of `database_url`. `url` connects through it, over a unix socket."""

    def __init__(self, folder: Path, database_url: str) -> None:
        found = shutil.which("pgbouncer", path=_PATH)
        if found is None:
            pytest.skip("no pgbouncer on this machine: apt-get install pgbouncer")
        self._programs = Programs(Path(found).parent)
        self._folder = folder
        self._behind = make_url(database_url)
        self._socket = folder / ".s.PGSQL.6432"
        ours = self._behind.set(host=None, port=None, query={"host": str(folder), "port": "6432"})
        self.url = ours.render_as_string(hide_password=False)

    def start(self, **settings: str) -> None:
        """Starts it with these settings in `[pgbouncer]`, such as `pool_mode="session"`."""
        behind = self._behind
        host, port = behind.query.get("host", behind.host), behind.query.get("port", behind.port)
        database = f"{behind.database} = host={host} port={port or 5432} user={behind.username}"
        ours = {"unix_socket_dir": str(self._folder), "listen_port": "6432", "auth_type": "any", **settings}
        lines = ["[databases]", database, "[pgbouncer]", *(f"{name} = {value}" for name, value in ours.items())]
        file = self._folder / "pgbouncer.ini"
        file.write_text("\n".join(lines))
        with self._log.open("wb") as log:
            self._process = self._programs.start("pgbouncer", file, output=log)
        self._wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    @property
    def _log(self) -> Path:
        return self._folder / "pgbouncer.log"

    def _wait(self) -> None:
        for _ in range(300):
            assert self._process.poll() is None, self._log.read_text()
            with socket.socket(socket.AF_UNIX) as link:
                if link.connect_ex(str(self._socket)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("PgBouncer does not listen")
