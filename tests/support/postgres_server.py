"""A real PostgreSQL for one test, that can be killed, frozen, made read-only, copied to a standby and replaced by it.

Knows the programs of PostgreSQL, and no table.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg2
from child_processes import children

from calyapp.embedded.postgres_programs import Programs, binaries

_PORT = "5432"  # only part of the socket's name
_PATIENCE = 60  # seconds; a start includes recovery after a crash
_STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_IN_RECOVERY = psycopg2.OperationalError  # starting, recovering or shutting down: try again


class PostgresServer:
    """A server on the data folder `data`, which holds the database `caly`.

    `url` stays valid over restarts, until another server takes it over. Commits survive the death of every process.
    With `durable` they also survive a crash of the machine, which no test can show.
    """

    def __init__(self, data: Path, *, durable: bool = False, max_connections: int = 100) -> None:
        self._data = data
        self._options = [f"max_connections={max_connections}", f"fsync={'on' if durable else 'off'}"]
        # Not beside the data, because the path of a socket has at most 107 bytes.
        self._home = Path(tempfile.mkdtemp(prefix="caly-postgres-"))
        self._sockets = self._home / "sockets"
        self._sockets.mkdir(mode=0o700)  # the only protection: the server trusts every connection
        self._address = self._home / "address"
        self._address.symlink_to(self._sockets)
        self._lock = os.open(self._home / "lock", os.O_CREAT | os.O_RDWR)
        self._programs = Programs(binaries(), self._lock)
        self._process: subprocess.Popen[bytes] | None = None
        self._standbys: list[PostgresServer] = []
        self.url = f"postgresql+psycopg2://caly@/caly?host={quote(str(self._address))}&port={_PORT}"

    # ---- Starting and stopping ----

    def start(self) -> None:
        """Starts it, and returns when it answers queries.

        Call it from the main thread: the server gets SIGINT when the thread that started it ends.
        """
        options = [word for option in self._options for word in ("-c", option)]
        where = ("-D", self._data, "-k", self._sockets, "-p", _PORT, "-c", "listen_addresses=")
        with self._log.open("ab") as output:
            self._process = self._programs.start("postgres", *where, *options, output=output)
        self._wait_until("SELECT true")

    def stop(self, mode: str = "immediate") -> None:
        """Stops it: `immediate` as in a crash, `fast` in good order. Returns when every process has ended."""
        if self._process:
            self.thaw()
            self._process.send_signal(_STOPS[mode])
            self._process.wait(_PATIENCE)
            self._process = None

    def close(self) -> None:
        """Stops it and its standbys, and removes its files outside the data folder."""
        for standby in self._standbys:
            standby.close()
        self.stop()
        os.close(self._lock)
        shutil.rmtree(self._home)

    def freeze(self) -> None:
        """Freezes it until `thaw`: connections are accepted, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resumes it after `freeze`."""
        self._signal(signal.SIGCONT)

    # ---- Queries and settings ----

    def query(self, sql: str, *values: object) -> list[tuple]:
        """Runs SQL on a new connection to this server, even if another server has taken over. Returns the rows."""
        connection = psycopg2.connect(host=str(self._sockets), port=_PORT, user="caly", dbname="caly")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def set(self, name: str, value: str) -> None:
        """Changes a setting permanently. Some settings take effect only at the next start."""
        ((loaded,),) = self.query("SELECT pg_conf_load_time()")
        self.query(f"ALTER SYSTEM SET {name} = %s", value)
        self.query("SELECT pg_reload_conf()")
        self._wait_until("SELECT pg_conf_load_time() > %s", loaded)

    def backends(self, application_name: str) -> list[int]:
        """Returns the ids of the processes that serve connections with this application name."""
        rows = self.query("SELECT pid FROM pg_stat_activity WHERE application_name = %s", application_name)
        return [pid for (pid,) in rows]

    # ---- Failover ----

    def standby(self, data: Path) -> "PostgresServer":
        """Returns a synchronous standby in the empty folder `data`. It has everything that is committed from now on."""
        from_here = ("-h", self._sockets, "-p", _PORT, "-U", "caly")
        slot = ("--create-slot", "--slot", "standby", "--write-recovery-conf")
        self._programs.run("pg_basebackup", *from_here, "-D", data, *slot, "--checkpoint=fast", "--no-sync")
        standby = PostgresServer(data)
        # It must allow as many connections as its primary. The short interval lets it promote quickly without one.
        standby._options = [*self._options, "wal_retrieve_retry_interval=100ms"]
        self._standbys.append(standby)
        standby.start()
        self.set("synchronous_standby_names", "*")
        self._wait_until("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
        return standby

    def promote(self) -> None:
        """Promotes a standby. Returns when it accepts writes."""
        self.query("SELECT pg_promote()")
        self._wait_until("SELECT NOT pg_is_in_recovery()")

    def take_over(self, other: "PostgresServer") -> None:
        """Makes the `url` of the other server lead to this one, as a virtual address does."""
        link = self._home / "link"
        link.symlink_to(self._sockets)
        link.replace(other._address)

    # ---- Internals ----

    @property
    def _log(self) -> Path:
        return self._data.with_name(self._data.name + ".log")

    def _signal(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)  # first, because a stopped parent starts no further children
            for child in children(self._process.pid):
                with suppress(ProcessLookupError):  # it ended when its client disconnected
                    os.kill(child, number)

    def _wait_until(self, sql: str, *values: object) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._is_true(sql, *values):
            assert self._process, "the server is stopped"
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, f"{sql} stays false\n{self._log.read_text()}"
            time.sleep(0.02)

    def _is_true(self, sql: str, *values: object) -> bool:
        try:
            return bool(self.query(sql, *values)[0][0])
        except _IN_RECOVERY:
            return False
