"""Repeats an action on a thread of its own. A failed run does not end it. Does not know the action."""

import logging
import threading
from collections.abc import Callable

from calyapp.errors import DatabaseAway

logger = logging.getLogger("calyapp.periodic")

_JOIN_SECONDS = 1.0


class Periodic:
    """Runs `action` at once, and again `every` seconds after it returned, until stopped.

    An exception is logged with `name`, and the next run follows. A fork leaves the thread in the parent: a child calls
    `start` for its own thread.
    """

    def __init__(self, name: str, every: float, action: Callable[[], object]) -> None:
        self._name = name
        self._every = every
        self._action = action
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread, unless it already runs in this process."""
        with self._starting:
            if not self._is_running():
                # A new event for each thread: the old one may be set, or was copied by a fork while in use.
                self._stopping = threading.Event()
                self._thread = threading.Thread(
                    target=self._repeat, args=(self._stopping,), name=self._name, daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Starts no further run, and waits a second for the current one."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and not self._stopping.is_set()

    def _repeat(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._run()
            stopping.wait(self._every)

    def _run(self) -> None:
        try:
            self._action()
        except Exception as failure:
            # No traceback while the database is unavailable: every task would repeat it.
            shows_traceback = not isinstance(failure, DatabaseAway)
            logger.warning("periodic task %s failed: %s", self._name, type(failure).__name__, exc_info=shows_traceback)
