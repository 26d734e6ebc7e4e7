"""Malformed and unusual requests, by kind and name. Data only."""

from malformed_connections import BROKEN_OFF, PIPELINED, SLOW
from malformed_contents import FORMS, JSONS, MULTIPART
from malformed_framing import CHUNKS, CONTENT_LENGTH, TRANSFER_ENCODING
from malformed_heads import HEADERS, HOST, QUERIES, REQUEST_LINE, TARGET

KINDS = {
    "slow": SLOW,
    "broken off": BROKEN_OFF,
    "Content-Length": CONTENT_LENGTH,
    "Transfer-Encoding": TRANSFER_ENCODING,
    "chunks": CHUNKS,
    "headers": HEADERS,
    "Host": HOST,
    "request line": REQUEST_LINE,
    "target": TARGET,
    "query": QUERIES,
    "form": FORMS,
    "JSON": JSONS,
    "multipart": MULTIPART,
    "pipelined": PIPELINED,
}
CASES = {f"{kind}: {name}": case for kind, cases in KINDS.items() for name, case in cases.items()}
