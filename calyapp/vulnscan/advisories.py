"""The client of the advisory service, which has the API of OSV: checks the service, and asks for severities."""

import json
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, build_opener

from calyapp.vulnscan import severity
from calyapp.vulnscan.report import ScanError
from calyapp.vulnscan.severity import Severity

_READ_TIMEOUT_SECONDS = 15.0
_MAX_TOTAL_SECONDS = 300.0
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
# The example in the documentation of OSV: a version of 2010 with several vulnerabilities.
_VULNERABLE_PACKAGE = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"}


class AdvisoryService:
    """Asks the service over HTTP, through the proxies in the environment."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._opener = build_opener()
        self._seconds_left = _MAX_TOTAL_SECONDS

    @property
    def query_url(self) -> str:
        """The URL that returns the advisories for a version of a package."""
        return f"{self._url}/v1/query"

    def check(self) -> None:
        """Asks about a package with known vulnerabilities. Raises `ScanError` if the service reports none.

        Without this check, a proxy or an empty mirror that answers everything with `{}` would make every scan pass.
        """
        answer = self._ask("/v1/query", json.dumps(_VULNERABLE_PACKAGE).encode())
        if not isinstance(answer, dict) or not answer.get("vulns"):
            raise ScanError(f"The advisory service at {self._url} reports no advisory for a package that has some")

    def severity(self, ids: Iterable[str]) -> Severity:
        """Returns the worst severity in the records of one vulnerability, by all its ids. Raises `ScanError`."""
        return severity.worst(severity.of_record(record) for record in self._records(ids))

    def _records(self, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
        for identifier in ids:
            record = self._ask(f"/v1/vulns/{quote(identifier, safe='')}")
            if isinstance(record, dict):
                yield record

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        """Returns the parsed answer, or None if the service does not know the record."""
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "Caly"}
        request = Request(self._url + path, body, headers)  # noqa: S310 — the command accepts http and https only
        began = time.monotonic()
        try:
            if self._seconds_left <= 0:
                raise TimeoutError
            with self._opener.open(request, timeout=_READ_TIMEOUT_SECONDS) as answer:
                return json.loads(_body(answer, began + self._seconds_left))
        except HTTPError as error:
            error.close()
            if error.code == 404 and body is None:
                return None
            raise ScanError(f"The advisory service at {self._url} answered {error.code}") from None
        except (ValueError, RecursionError):
            raise ScanError(f"The advisory service at {self._url} did not answer with JSON") from None
        except (OSError, HTTPException) as error:
            raise ScanError(f"The advisory service at {self._url} could not be reached{_reason(error)}") from None
        finally:
            self._seconds_left -= time.monotonic() - began


def _body(answer: HTTPResponse, ends_at: float) -> bytes:
    """Reads up to the limit. Raises `TimeoutError` after `ends_at`: the socket's time-out restarts with each byte."""
    body = bytearray()
    while len(body) < _MAX_ANSWER_BYTES and (chunk := answer.read1(_CHUNK_BYTES)):
        body += chunk
        if time.monotonic() > ends_at:
            raise TimeoutError
    return bytes(body)


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    text = getattr(cause, "strerror", None) or ("it does not answer" if isinstance(cause, TimeoutError) else "")
    return f": {text}" if text else ""
