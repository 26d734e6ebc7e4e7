"""The audit trail as a file: as many entries as there are, in constant memory, page by page.

No connection is held while a slow reader drinks: each page is read in a short transaction of its own.
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
from calyapp.web.api.records import Answer, tenant_of
from calyapp.web.api.streaming import Places, Stream, broken_by_errors
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.schemas import validators
from calyapp.web.schemas.operations import about
from calyapp.web.schemas.requests import EventsSchema, StrictSchema
from calyapp.web.schemas.responses import BaseResponseSchema

MAX_CONCURRENT = 2  # of a worker's eight threads; the others are for telephone calls
RETRY_SECONDS = 30
PAGE = 1_000
_GZIP = 31  # zlib's window, with the frame of gzip around it
_HTTP_1_0 = re.compile(r"\s*(HTTP/)?1\.0\b")  # as in the request line, or as a proxy says in `Via` (RFC 9110, 7.6.3)


class Format(StrEnum):
    """How entries are written."""

    NDJSON = "ndjson"
    CSV = "csv"


_CONTENT_TYPES = {Format.NDJSON: "application/x-ndjson", Format.CSV: "text/csv; charset=utf-8; header=present"}


class ExportSchema(EventsSchema):
    """Which entries, and how they are written."""

    class Meta(StrictSchema.Meta):
        exclude = ("limit", "cursor")

    format = validators.enum(Format, load_default=Format.NDJSON, metadata=about("How they are written", "csv"))


class Export:
    """Writes lists of records into files, each record as the schema shows it."""

    def __init__(self, services: Services, read: ReadPage, shown: BaseResponseSchema) -> None:
        self._pool = services.database.records
        self._read = read
        self._shown = shown
        self._columns = [str(field.data_key) for field in shown.fields.values()]
        self._places = Places(
            MAX_CONCURRENT,
            "You have an export under way, or too many exports are; begin when one has ended.",
            RETRY_SECONDS,
        )

    def response(self) -> Stream:
        """The file that the query string asks for, and on the trail who has it, before its first byte.

        Raises `ValidationError`, `RateLimitError` and, where the trail cannot be written, `DatabaseError`.
        """
        filters = validation.load(ExportSchema(), request.args)
        form: Format = filters.pop("format")
        _demand_chunks()
        tenant = tenant_of(filters.get("client_id"))
        with self._places.take(g.principal.client_id or g.principal.id) as place:
            if request.method == "GET":  # HEAD hands nothing over
                audit_log.write(self._pool, _entry(filters, form, tenant))
            pieces = self._written(self._pages(tenant, filters), form)
            response = _response(pieces, form)
            response.call_on_close(place.pop_all().close)
        return response

    def _pages(self, tenant: Tenant, filters: Mapping[str, Any]) -> Iterator[Iterable[Answer]]:
        """All of them, the newest first. New entries come before all places, so none is seen twice."""
        after = None
        while True:
            page = self._read(tenant, filters, after, PAGE)
            yield map(self._shown.dump, page.rows)
            if page.next is None:
                return
            after = page.next

    def _written(self, pages: Iterator[Iterable[Answer]], form: Format) -> Iterator[bytes]:
        if form is Format.CSV:
            yield csv_text.header(self._columns).encode()
        for page in pages:
            if form is Format.CSV:
                yield csv_text.lines(self._columns, page).encode()
            else:
                yield b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in page)


def _demand_chunks() -> None:
    """Where an answer ends with its connection, to us or to a proxy on the way, half a file looks like a whole one."""
    on_the_way = (request.environ.get("SERVER_PROTOCOL", ""), *request.headers.get("Via", "").split(","))
    if any(map(_HTTP_1_0.match, on_the_way)):
        raise ValidationError("An export takes HTTP/1.1 or newer, which tells a broken file from a whole one.")


def _response(pieces: Iterator[bytes], form: Format) -> Stream:
    is_packed = request.accept_encodings.quality("gzip") > 0
    sent = broken_by_errors(_packed(pieces) if is_packed else pieces, "an export", g.request_id)
    response = Stream(sent, content_type=_CONTENT_TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="caly-audit-{clock.now():%Y-%m-%d}.{form}"'
    response.headers["Vary"] = "Accept-Encoding"
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=_GZIP)  # the processor is for telephone calls
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _entry(filters: Mapping[str, Any], form: Format, tenant: Tenant) -> Entry:
    principal: Principal = g.principal
    return Entry.now(
        EventType.DATA_EXPORTED,
        "The audit trail was exported",
        client_id=tenant if isinstance(tenant, UUID) else None,
        user_id=principal.user_id,
        resource="route",
        resource_id=request.url_rule.rule if request.url_rule else None,
        ip_address=client_address(),
        request_id=g.request_id,
        metadata={
            "principal": principal.shown,
            "format": form.value,
            "filters": {name: str(value) for name, value in filters.items()},
        },
    )
