"""A CDR export of Exotel's, uploaded: checked whole, then recorded row by row, each reported as it is done."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, BinaryIO
from uuid import UUID

import orjson
from flask import g, request
from werkzeug.exceptions import RequestEntityTooLarge

from calyapp import redact, validation
from calyapp.access.principal import Origin, Principal
from calyapp.errors import NotFoundError, ValidationError
from calyapp.exotel import cdr
from calyapp.exotel.cdr_import import CdrImport
from calyapp.services import Services
from calyapp.web.api.streaming import Places, Stream, broken_by_errors
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.schemas import validators
from calyapp.web.schemas.operations import CALL_SID_EXAMPLE, UUID_EXAMPLE, Content, about
from calyapp.web.schemas.requests import StrictSchema

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_BODY_BYTES = MAX_FILE_BYTES + 64 * 1024  # room for what multipart puts around the file
MAX_CONCURRENT = 1  # of a worker's threads; more would only wait for each other at the disk of PostgreSQL
RETRY_SECONDS = 360  # whoever is told so comes ten times an hour, which their limit (RATELIMIT_UPLOAD) allows
_MAX_USER_AGENT_LENGTH = 512
_SEND = "Send the CSV as text/csv, or as the only field, named file, of multipart/form-data."

BODY: Content = {
    "text/csv": {
        "type": "string",
        "description": "Exotel's CDR export: a line of column names, CallSid among them, and a line for each call",
        "examples": [f"CallSid,From,To,Status\n{CALL_SID_EXAMPLE},09876543210,08047112345,completed\n"],
    },
    "multipart/form-data": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary", "description": "The same"}},
    },
}


class ImportSchema(StrictSchema):
    """Whose calls they are."""

    client_id = validators.uuid(
        data_key="clientId", metadata=about("This client's; an admin has to name one", UUID_EXAMPLE)
    )


class Imports:
    """The view that takes uploads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._places = Places(MAX_CONCURRENT, "An import is under way; begin when it has ended.", RETRY_SECONDS)

    def response(self) -> Stream:
        """A report of all rows, with a summary at its end.

        Raises `ValidationError` for a file that is not right from its first line to its last, `NotFoundError` for
        another's client, and `DatabaseError`; then nothing of it was recorded.
        """
        principal: Principal = g.principal
        client_id = self._client_of(principal)
        with self._places.take(principal.client_id or principal.id) as place:
            file = _upload(place)
            origin = _origin()
            imported = CdrImport(self._services.recorder, file, cdr.check(file), client_id, origin)
            imported.announce(self._services.database.records, principal)
            sent = broken_by_errors(_report(imported), "an import", g.request_id)
            response = Stream(sent, content_type="application/json")
            response.call_on_close(place.pop_all().close)
        return response

    def _client_of(self, principal: Principal) -> UUID:
        """Whose calls these are: a client's own, or of whom an admin says."""
        asked_for: UUID | None = validation.load(ImportSchema(), request.args).get("client_id")
        client_id = asked_for or principal.client_id
        if client_id is None:
            missing = "is missing: whose calls are these?"
            raise ValidationError(f"clientId {missing}", {"clientId": [missing]})
        if not principal.sees(client_id):
            raise NotFoundError("There is no client with this id")
        return self._services.clients.get(client_id).id


def _upload(scope: ExitStack) -> BinaryIO:
    """The file, on disk until the scope ends: requests close what they came with before their answer is sent."""
    file = scope.enter_context(TemporaryFile())  # noqa: SIM115 — the scope closes it
    shutil.copyfileobj(_sent(), file)
    if file.tell() > MAX_FILE_BYTES:
        raise RequestEntityTooLarge
    if request.mimetype == "text/csv" and file.tell() < (request.content_length or 0):
        raise ValidationError("The file is shorter than its Content-Length says; send it again.")
    return file


def _sent() -> IO[bytes]:
    if request.mimetype == "text/csv":
        return request.stream
    if request.mimetype == "multipart/form-data":
        files = request.files.getlist("file")
        if len(files) == len(request.files) + len(request.form) == 1:
            return files[0].stream
    raise ValidationError(_SEND)


def _report(imported: CdrImport) -> Iterator[bytes]:
    """One JSON document, piece by piece."""
    yield b'{"rows":['
    for number, reported in enumerate(imported.rows()):
        yield (b"," if number else b"") + orjson.dumps(reported.shown)
    yield b'],"summary":' + orjson.dumps(imported.summary) + b"}\n"


def _origin() -> Origin:
    user_agent = redact.text(request.user_agent.string)[:_MAX_USER_AGENT_LENGTH] or None
    return Origin("api", client_address(), user_agent, g.request_id)
