"""Imports an uploaded CDR export of Exotel: checks the whole file, then records and reports row by row."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, BinaryIO
from uuid import UUID

import orjson
from flask import g, request
from werkzeug.exceptions import RequestEntityTooLarge

from calyapp import validation
from calyapp.access.principal import Principal
from calyapp.errors import NotFoundError, ValidationError
from calyapp.exotel import cdr
from calyapp.exotel.cdr_import import CdrImport
from calyapp.services import Services
from calyapp.web.api.streaming import Places, Stream, broken_by_errors
from calyapp.web.pipeline.request_audit import origin
from calyapp.web.schemas import validators
from calyapp.web.schemas.operations import CALL_SID_EXAMPLE, UUID_EXAMPLE, Content, about
from calyapp.web.schemas.requests import StrictSchema

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_BODY_BYTES = MAX_FILE_BYTES + 64 * 1024  # with room for the multipart envelope
MAX_CONCURRENT = 1  # in each worker; more would only wait for each other in PostgreSQL
RETRY_SECONDS = 360  # ten retries an hour, which the default of RATELIMIT_UPLOAD allows
_HOW_TO_UPLOAD = "Send the CSV as text/csv, or as multipart/form-data with one field named file."

BODY: Content = {
    "text/csv": {
        "type": "string",
        "description": "CDR export of Exotel: a header with column names, among them CallSid, and a line for each call",
        "examples": [f"CallSid,From,To,Status\n{CALL_SID_EXAMPLE},09876543210,08047112345,completed\n"],
    },
    "multipart/form-data": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary", "description": "The same CSV as a file"}},
    },
}


class ImportSchema(StrictSchema):
    """Query parameters of an import."""

    client_id = validators.uuid(
        data_key="clientId", metadata=about("The client that owns the calls. Required for an admin", UUID_EXAMPLE)
    )


class Imports:
    """The view that imports an uploaded file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._places = Places(
            MAX_CONCURRENT, "An import is already running. Try again when it has ended.", RETRY_SECONDS
        )

    def response(self) -> Stream:
        """Returns a report of all rows that ends with a summary.

        Raises `ValidationError` if any line of the file is invalid, `NotFoundError` for another client, and
        `DatabaseError`. In these cases nothing is recorded.
        """
        principal: Principal = g.principal
        client_id = self._client_for(principal)
        with self._places.take(principal.client_id or principal.id) as place:
            file = _upload(place)
            cdr_import = CdrImport(self._services.recorder, file, cdr.check(file), client_id, origin())
            cdr_import.announce(self._services.database.records, principal)
            report = broken_by_errors(_report(cdr_import), "an import", g.request_id)
            response = Stream(report, content_type="application/json")
            response.call_on_close(place.pop_all().close)
        return response

    def _client_for(self, principal: Principal) -> UUID:
        """Returns the owner of the calls: the principal's client, or the one that an admin names."""
        requested: UUID | None = validation.load(ImportSchema(), request.args).get("client_id")
        client_id = requested or principal.client_id
        if client_id is None:
            error = "is missing. Name the client that owns the calls."
            raise ValidationError(f"clientId {error}", {"clientId": [error]})
        if not principal.sees(client_id):
            raise NotFoundError("There is no client with this id")
        return self._services.clients.get(client_id).id


def _upload(scope: ExitStack) -> BinaryIO:
    """Returns a copy of the file that lasts until the scope ends: Flask closes the upload before the answer is sent."""
    file = scope.enter_context(TemporaryFile())  # noqa: SIM115 — the scope closes it
    shutil.copyfileobj(_uploaded(), file)
    if file.tell() > MAX_FILE_BYTES:
        raise RequestEntityTooLarge
    if request.mimetype == "text/csv" and file.tell() < (request.content_length or 0):
        raise ValidationError("The file is shorter than its Content-Length. Send it again.")
    return file


def _uploaded() -> IO[bytes]:
    if request.mimetype == "text/csv":
        return request.stream
    if request.mimetype == "multipart/form-data":
        files = request.files.getlist("file")
        if len(files) == len(request.files) + len(request.form) == 1:
            return files[0].stream
    raise ValidationError(_HOW_TO_UPLOAD)


def _report(cdr_import: CdrImport) -> Iterator[bytes]:
    """Yields one JSON document in chunks."""
    yield b'{"rows":['
    for number, reported in enumerate(cdr_import.rows()):
        yield (b"," if number else b"") + orjson.dumps(reported.shown)
    yield b'],"summary":' + orjson.dumps(cdr_import.summary) + b"}\n"
