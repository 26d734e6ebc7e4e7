"""The directory on disk, so that a service can start and answer the telephone while the database is away.

It holds telephone numbers and no key; only its owner may read it. A damaged copy is none.
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
    """One file, replaced as a whole: the checksum, a line break, the clients as JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: bytes | None = None
        self._writing = threading.Lock()

    def write(self, clients: Sequence[Client]) -> None:
        """Keep the clients; where they are those of last time, note that they still are: the file's age tells.

        A disk that refuses is logged, no more.
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
                self._written = None  # perhaps it is gone: next time it is written anew
                fields = {"error": type(error).__name__}
                _log.warning("the copy of the directory could not be written", extra={"fields": fields})

    def read(self) -> list[Client] | None:
        """The clients as last written, or None if there is no copy or it is damaged."""
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
    moment = fields["disabled_at"]
    return Client(
        **fields
        | {
            "id": UUID(fields["id"]),
            "numbers": tuple(fields["numbers"]),
            "disabled_at": datetime.fromisoformat(moment) if moment else None,
        }
    )
