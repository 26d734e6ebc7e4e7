"""A CDR export heals calls that are missing or unfinished: each row goes through the one door for news of calls.

So it may be imported again, whole or in part, whatever became of the first time. Knows no HTTP and no command line.
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

_MAX_SHOWN_LENGTH = 64  # characters of a CallSid; a longer one is none
_log = logging.getLogger(__name__)


class RowResult(StrEnum):
    """What became of a row."""

    NEW = "new"
    REPEAT = "repeat"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A row that was tried; the message says why it was rejected."""

    row: CdrRow
    result: RowResult
    message: str | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """As the outside sees it."""
        call_sid = dict(self.row.parameters).get(cdr.IDENTITY, "")[:_MAX_SHOWN_LENGTH]
        told = {"line": self.row.line, "callSid": call_sid, "result": self.result.value}
        return told | ({"message": self.message} if self.message else {})


class CdrImport:
    """An import under way: reports each row as it is tried, and knows at the end how many went how."""

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
        """Put it on the trail, before any row is. Raises `DatabaseError`."""
        audit_log.write(pool, self._entry(principal))

    def rows(self) -> Iterator[ImportedRow]:
        """Each row in turn. Ends early where the database fails: the others may be imported later."""
        for row in cdr.rows(self._file):
            try:
                reported = self._tried(row)
            except DatabaseError as error:
                _log.warning("an import stopped at line %d: %s", row.line, type(error).__name__)
                return
            self._counted[reported.result] += 1
            yield reported

    @property
    def summary(self) -> dict[str, int | bool]:
        """How many rows there are of each result, as the outside sees it."""
        not_tried = self._checked.rows - self._counted.total()
        counts = {result.value: self._counted[result] for result in RowResult}
        return {**counts, "notTried": not_tried, "complete": not_tried == 0}

    def _tried(self, row: CdrRow) -> ImportedRow:
        try:
            recorded = self._recorder.record(self._event(row))
        except ValidationError as error:
            return ImportedRow(row, RowResult.REJECTED, error.message)
        except DatabaseRejected as rejected:
            return ImportedRow(row, RowResult.REJECTED, f"The database refuses its content: {rejected.reason}.")
        return ImportedRow(row, RowResult.NEW if recorded.is_new else RowResult.REPEAT)

    def _event(self, row: CdrRow) -> CallEvent:
        if any("\0" in text for _, text in row.parameters):
            raise ValidationError("The row contains NUL.")
        moment, origin = clock.now(), self._origin
        arrival = Arrival(
            at=moment,
            audit_id=clock.uuid7(moment),
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
