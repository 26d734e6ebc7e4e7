"""The advisory service, which speaks as OSV does: is it there and does it know anything, and how bad is an advisory."""

import json
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, build_opener

from calyapp.vulnscan import severity
from calyapp.vulnscan.report import NotLookedAt
from calyapp.vulnscan.severity import Severity

_SECONDS = 15.0  # of silence
_SECONDS_IN_ALL = 300.0
_MAX_BYTES = 16 * 1024 * 1024
_PIECE = 64 * 1024
# The example of OSV's own documentation, from 2010 and full of holes.
_KNOWN_BAD = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"}


class AdvisoryService:
    """Over HTTP, through the proxies that the environment names."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._opener = build_opener()
        self._seconds_left = _SECONDS_IN_ALL

    @property
    def query_url(self) -> str:
        """Where one asks which advisories hold for a package in a version."""
        return f"{self._url}/v1/query"

    def check(self) -> None:
        """Ask about a package that is known to be bad. Raises `NotLookedAt` if it has nothing to say even about that.

        A stand-in that answers everybody with `{}`, a filter or an empty mirror, would else look like good news.
        """
        answer = self._ask("/v1/query", json.dumps(_KNOWN_BAD).encode())
        if not isinstance(answer, dict) or not answer.get("vulns"):
            raise NotLookedAt(f"The advisory service at {self._url} knows no advisory where there are some")

    def severity(self, ids: Iterable[str]) -> Severity:
        """Of one weakness that goes by all these ids: the worst that any of its records says. Raises `NotLookedAt`."""
        return severity.worst(severity.of_record(record) for record in self._records(ids))

    def _records(self, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
        for identifier in ids:
            record = self._ask(f"/v1/vulns/{quote(identifier, safe='')}")
            if isinstance(record, dict):
                yield record

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        """The answer; None where the service says that there is no such thing."""
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "Caly"}
        request = Request(self._url + path, body, headers)  # noqa: S310 — the command takes http and https only
        began = time.monotonic()
        try:
            if self._seconds_left <= 0:
                raise TimeoutError
            with self._opener.open(request, timeout=_SECONDS) as answer:
                return json.loads(_body(answer, began + self._seconds_left))
        except HTTPError as refusal:
            refusal.close()
            if refusal.code == 404 and body is None:
                return None
            raise NotLookedAt(f"The advisory service at {self._url} answered {refusal.code}") from None
        except (ValueError, RecursionError):
            raise NotLookedAt(f"The advisory service at {self._url} answered with something else than JSON") from None
        except (OSError, HTTPException) as error:
            raise NotLookedAt(f"The advisory service at {self._url} could not be reached{_reason(error)}") from None
        finally:
            self._seconds_left -= time.monotonic() - began


def _body(answer: HTTPResponse, ends_at: float) -> bytes:
    """As far as it may be. Raises TimeoutError for one that drips: a socket's patience begins anew with each octet."""
    body = bytearray()
    while len(body) < _MAX_BYTES and (piece := answer.read1(_PIECE)):
        body += piece
        if time.monotonic() > ends_at:
            raise TimeoutError
    return bytes(body)


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    said = getattr(cause, "strerror", None) or ("it does not answer" if isinstance(cause, TimeoutError) else "")
    return f": {said}" if said else ""
