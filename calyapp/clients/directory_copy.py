"""The copy of the directory on disk, so that a service can start and answer calls while the database is away.

It holds telephone numbers and no keys. Only its owner may read it. A damaged copy is not used.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from calyapp import atomic_file
from calyapp.clients.store import Client

_log = logging.getLogger(__name__)


class DirectoryCopy:
    """The file with the copy: a checksum, a line break, and the clients as JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: bytes | None = None
        self._writing = threading.Lock()

    def write(self, clients: Sequence[Client]) -> None:
        """Writes the clients. If they are unchanged, it only renews the file's time, which shows the age of the copy.

        An error of the disk is logged and not raised.
        """
        content = orjson.dumps([asdict(client) for client in clients])
        with self._writing:
            try:
                if content == self._written:
                    os.utime(self._path)
                else:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    atomic_file.write(self._path, _checksum(content) + b"\n" + content, mode=0o600)
                    self._written = content
            except OSError as error:
                self._written = None  # the file may be missing: the next call writes it again
                fields = {"error": type(error).__name__}
                _log.warning("the copy of the directory could not be written", extra={"fields": fields})

    def read(self) -> list[Client] | None:
        """Returns the clients, or None if there is no copy or it is damaged."""
        try:
            checksum, _, content = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.error("the copy of the directory cannot be read", extra={"fields": {"error": type(error).__name__}})
            return None
        if checksum != _checksum(content):
            _log.error("the copy of the directory is damaged and is not used")
            return None
        return [_client(fields) for fields in orjson.loads(content)]


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _client(fields: dict[str, Any]) -> Client:
    disabled_at = fields["disabled_at"]
    return Client(
        **fields
        | {
            "id": UUID(fields["id"]),
            "numbers": tuple(fields["numbers"]),
            "disabled_at": datetime.fromisoformat(disabled_at) if disabled_at else None,
        }
    )
