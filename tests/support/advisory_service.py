"""An advisory service and a package index on loopback, with the HTTP APIs of OSV and of a simple index."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
HIGH = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"
MEDIUM = "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"
# A scan asks for this package first, to check that the service knows advisories.
VULNERABLE_PACKAGE = ("jinja2", "2.4.1")


def advisory(identifier: str, package: str, *, fixed: tuple[str, ...] = (), **more: object) -> dict:
    """Returns a record in the OSV format."""
    events = [{"introduced": "0"}, *({"fixed": version} for version in fixed)]
    affected = [
        {"package": {"name": package, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    ]
    return {"id": identifier, "aliases": [], "summary": f"{package} is weak.", "affected": affected} | more


def scored(vector: str) -> dict:
    """Returns the part of a record with its severity as a CVSS 3 vector."""
    return {"severity": [{"type": "CVSS_V3", "score": vector}]}


def requirements(folder: Path, *lines: str) -> Path:
    """Writes a requirements file with hashes."""
    file = folder / "requirements.txt"
    file.write_text("".join(f"{line} \\\n    --hash=sha256:{'0' * 64}\n" for line in lines))
    return file


class Advisories:
    """The content of the service. `says` overrides the answers for a path prefix by a status and a body."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.by_package: dict[tuple[str, str], list[dict]] = {}
        self.records: dict[str, dict] = {}
        self.versions: dict[str, list[str]] = {}
        self.says: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []
        self.publish(*VULNERABLE_PACKAGE, advisory("PYSEC-2014-8", "jinja2"))

    def publish(self, package: str, version: str, record: dict) -> None:
        """Adds a record for this version of a package."""
        self.by_package.setdefault((package, version), []).append(record)
        self.records[record["id"]] = record

    def index(self) -> dict[str, str]:
        """Returns the environment that makes pip use this index, and no other."""
        no_other = {"PIP_CONFIG_FILE": "/dev/null", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
        return {"PIP_INDEX_URL": f"{self.url}/simple/", **no_other}

    def answer(self, path: str, body: bytes) -> tuple[int, str]:
        self.asked.append(path)
        for prefix, override in self.says.items():
            if path.startswith(prefix):
                return override
        if path == "/v1/query":
            query = json.loads(body)
            records = self.by_package.get((query["package"]["name"], query["version"]), [])
            return 200, json.dumps({"vulns": records} if records else {})
        kind, _, name = path.strip("/").rpartition("/")
        if kind == "v1/vulns" and name in self.records:
            return 200, json.dumps(self.records[name])
        if kind == "simple" and name in self.versions:
            files = (f"{name}-{version}-py3-none-any.whl" for version in self.versions[name])
            return 200, "".join(f'<a href="/{file}">{file}</a>' for file in files)
        return 404, "{}"


@contextmanager
def advisory_service() -> Iterator[Advisories]:
    """Serves for the duration of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = advisories.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if self.path.startswith("/simple") else "application/json")
            self.send_header("Content-Length", str(len(answer.encode())))
            self.end_headers()
            self.wfile.write(answer.encode())

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        advisories = Advisories(server.server_port)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield advisories
        finally:
            server.shutdown()
            thread.join()
