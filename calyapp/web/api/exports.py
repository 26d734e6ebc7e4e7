"""Exports the audit log as a file of any length, page by page in constant memory.

Each page is read in a short transaction of its own, so that a slow receiver holds no database connection.
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
from flask import g, request

from calyapp import clock, validation
from calyapp.access.principal import Principal
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.db.tenancy import Tenant
from calyapp.errors import ValidationError
from calyapp.services import Services
from calyapp.web.api import csv_text
from calyapp.web.api.cursors import ReadPage
from calyapp.web.api.records import tenant_for
from calyapp.web.api.streaming import Places, Stream, broken_by_errors
from calyapp.web.pipeline.request_audit import request_entry
from calyapp.web.routing import JsonObject
from calyapp.web.schemas import validators
from calyapp.web.schemas.operations import about
from calyapp.web.schemas.requests import EventsSchema, StrictSchema
from calyapp.web.schemas.responses import BaseResponseSchema

MAX_CONCURRENT = 2  # of a worker's 8 threads; the others are for deliveries
RETRY_SECONDS = 30
PAGE = 1_000  # entries
_GZIP = 31  # zlib's `wbits` for a 32 KiB window in the gzip format
_HTTP_1_0 = re.compile(r"\s*(HTTP/)?1\.0\b")  # in the request line, or in `Via` (RFC 9110, 7.6.3)


class Format(StrEnum):
    """The format of an exported file."""

    NDJSON = "ndjson"
    CSV = "csv"


_CONTENT_TYPES = {Format.NDJSON: "application/x-ndjson", Format.CSV: "text/csv; charset=utf-8; header=present"}


class ExportSchema(EventsSchema):
    """Query parameters of an export."""

    class Meta(StrictSchema.Meta):
        exclude = ("limit", "cursor")

    format = validators.enum(Format, load_default=Format.NDJSON, metadata=about("Format of the file", "csv"))


class Export:
    """Exports a list of records, each as the schema dumps it."""

    def __init__(self, services: Services, read: ReadPage, schema: BaseResponseSchema) -> None:
        self._pool = services.database.records
        self._read = read
        self._schema = schema
        self._columns = [str(field.data_key) for field in schema.fields.values()]
        self._places = Places(
            MAX_CONCURRENT,
            "You already have a running export, or too many exports are running. Try again when one has ended.",
            RETRY_SECONDS,
        )

    def response(self) -> Stream:
        """Returns the file that the query string describes, after the export is in the audit log.

        Raises `ValidationError`, `RateLimitError`, and `DatabaseError` if the audit log cannot be written.
        """
        filters = validation.load(ExportSchema(), request.args)
        form: Format = filters.pop("format")
        _require_chunked_transfer()
        tenant = tenant_for(filters.get("client_id"))
        with self._places.take(g.principal.client_id or g.principal.id) as place:
            if request.method == "GET":  # HEAD exports nothing
                audit_log.write(self._pool, _entry(filters, form, tenant))
            chunks = self._lines(self._pages(tenant, filters), form)
            response = _response(chunks, form)
            response.call_on_close(place.pop_all().close)
        return response

    def _pages(self, tenant: Tenant, filters: Mapping[str, Any]) -> Iterator[Iterable[JsonObject]]:
        """Returns all entries, newest first. New entries sort before every place, so that none appears twice."""
        after = None
        while True:
            page = self._read(tenant, filters, after, PAGE)
            yield map(self._schema.dump, page.rows)
            if page.next is None:
                return
            after = page.next

    def _lines(self, pages: Iterator[Iterable[JsonObject]], form: Format) -> Iterator[bytes]:
        if form is Format.CSV:
            yield csv_text.header(self._columns).encode()
        for page in pages:
            if form is Format.CSV:
                yield csv_text.lines(self._columns, page).encode()
            else:
                yield b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in page)


def _require_chunked_transfer() -> None:
    """Raises `ValidationError` if the client or a proxy speaks HTTP/1.0, where a broken file looks complete, because
    the end of the connection ends the body.
    """
    protocols = (request.environ.get("SERVER_PROTOCOL", ""), *request.headers.get("Via", "").split(","))
    if any(map(_HTTP_1_0.match, protocols)):
        raise ValidationError("An export requires HTTP/1.1 or newer, which shows whether the file is complete.")


def _response(chunks: Iterator[bytes], form: Format) -> Stream:
    is_compressed = request.accept_encodings.quality("gzip") > 0
    body = broken_by_errors(_compress(chunks) if is_compressed else chunks, "an export", g.request_id)
    response = Stream(body, content_type=_CONTENT_TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="caly-audit-{clock.now():%Y-%m-%d}.{form}"'
    response.headers["Vary"] = "Accept-Encoding"
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _compress(chunks: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=_GZIP)  # deliveries need the processor more
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _entry(filters: Mapping[str, Any], form: Format, tenant: Tenant) -> Entry:
    principal: Principal = g.principal
    return request_entry(
        EventType.DATA_EXPORTED,
        "The audit log was exported",
        client_id=tenant if isinstance(tenant, UUID) else None,
        metadata={
            "principal": principal.shown,
            "format": form.value,
            "filters": {name: str(value) for name, value in filters.items()},
        },
    )
