"""Imports a CDR export: completes calls that are missing or unfinished.

Each row goes through the recorder, like a delivery. A repeated import therefore changes nothing, and an import that
stopped can be repeated. This module knows no HTTP and no command line.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO
from uuid import UUID

from calyapp import clock
from calyapp.access.principal import Origin, Principal
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.calls.event import Arrival, CallEvent, Route
from calyapp.calls.recorder import Recorder
from calyapp.db.engine import Pool
from calyapp.errors import DatabaseError, DatabaseRejected, ValidationError
from calyapp.exotel import cdr, payload
from calyapp.exotel.cdr import CdrRow, CheckedFile

_MAX_SHOWN_LENGTH = 64  # characters of a CallSid; a longer one is invalid
_log = logging.getLogger(__name__)


class RowResult(StrEnum):
    """The result of importing a row: a new delivery, a repeated one, or a rejected one."""

    NEW = "new"
    REPEAT = "repeat"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A row with its result; the message says why it was rejected."""

    row: CdrRow
    result: RowResult
    message: str | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """The row as the API and the command line show it."""
        call_sid = dict(self.row.parameters).get(cdr.CALL_SID_COLUMN, "")[:_MAX_SHOWN_LENGTH]
        shown = {"line": self.row.line, "callSid": call_sid, "result": self.result.value}
        return shown | ({"message": self.message} if self.message else {})


class CdrImport:
    """An import in progress: reports each row as it is recorded, and counts the results."""

    def __init__(
        self, recorder: Recorder, file: BinaryIO, checked: CheckedFile, client_id: UUID, origin: Origin
    ) -> None:
        self._recorder = recorder
        self._file = file
        self._checked = checked
        self._client_id = client_id
        self._origin = origin
        self._counted: Counter[RowResult] = Counter()

    def announce(self, pool: Pool, principal: Principal | None) -> None:
        """Writes the audit entry of the import, before its first row. Raises `DatabaseError`."""
        audit_log.write(pool, self._entry(principal))

    def rows(self) -> Iterator[ImportedRow]:
        """Records the rows one by one. Stops where the database fails; repeat the import to record the others."""
        for row in cdr.rows(self._file):
            try:
                imported = self._import_row(row)
            except DatabaseError as error:
                _log.warning("an import stopped at line %d: %s", row.line, type(error).__name__)
                return
            self._counted[imported.result] += 1
            yield imported

    @property
    def summary(self) -> dict[str, int | bool]:
        """The number of rows by result, as the API and the command line show it."""
        not_tried = self._checked.rows - self._counted.total()
        counts = {result.value: self._counted[result] for result in RowResult}
        return {**counts, "notTried": not_tried, "complete": not_tried == 0}

    def _import_row(self, row: CdrRow) -> ImportedRow:
        try:
            recorded = self._recorder.record(self._event(row))
        except ValidationError as error:
            return ImportedRow(row, RowResult.REJECTED, error.message)
        except DatabaseRejected as error:
            return ImportedRow(row, RowResult.REJECTED, f"The database rejects the row: {error.reason}.")
        return ImportedRow(row, RowResult.NEW if recorded.is_new else RowResult.REPEAT)

    def _event(self, row: CdrRow) -> CallEvent:
        if any("\0" in text for _, text in row.parameters):
            raise ValidationError("The row contains a NUL character.")
        now, origin = clock.now(), self._origin
        arrival = Arrival(
            at=now,
            audit_id=clock.uuid7(now),
            request_id=origin.request_id,
            ip_address=origin.ip_address,
            user_agent=origin.user_agent,
        )
        return payload.load(Route.CDR, row.parameters, arrival, self._client_id)

    def _entry(self, principal: Principal | None) -> Entry:
        checked, origin = self._checked, self._origin
        return Entry.now(
            EventType.DATA_IMPORTED,
            "A CDR export was imported",
            client_id=self._client_id,
            user_id=principal.user_id if principal else None,
            resource="client",
            resource_id=str(self._client_id),
            ip_address=origin.ip_address,
            user_agent=origin.user_agent,
            request_id=origin.request_id,
            metadata={
                "rows": checked.rows,
                "bytes": checked.size,
                "sha256": checked.digest,
                "via": origin.via,
                "principal": principal.shown if principal else None,
            },
        )
