"""Tests the API against its OpenAPI document: its examples, and thousands of generated valid and invalid requests."""

import json
import subprocess
import sys
from base64 import b64encode
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from running_server import Server

UNLIMITED = {f"RATELIMIT_{profile}": "1000000/minute" for profile in ("LOGIN", "API", "WEBHOOK", "UPLOAD")}
SEED = "20261122"
MIN_REQUESTS = 2000
# For each explorer: its operations, the number of generated examples for each, and the checks that do not apply.
# Data that is valid by its schema may still be refused: a schema cannot express which cursor is signed.
EXPLORERS = {
    "anonymous": ("^/", 5, "positive_data_acceptance"),
    "admin": ("^/(api|health|openapi)", 20, "positive_data_acceptance"),
    "client": ("^/api/(calls|audit)", 20, "positive_data_acceptance"),
    # Deliveries are kept with all values. Only unreadable ones, and those without a call, are refused.
    "exotel": ("^/webhooks", 20, "positive_data_acceptance,negative_data_rejection"),
}


@pytest.fixture(scope="module")
def server(module_serve) -> Server:
    return module_serve("--workers", "2", WEBHOOK_AUTH="required", **UNLIMITED)


@pytest.fixture(scope="module")
def tenant_of_examples(server, tenant) -> dict:
    return tenant(server, "+918047112345")


@pytest.fixture(scope="module")
def document(server) -> dict:
    status, body = server.ask("GET", "/openapi.json")
    assert status == 200
    return body


@pytest.fixture(scope="module")
def logins(server, tenant_of_examples) -> dict[str, str]:
    """The `Authorization` header of each explorer."""

    def key(*arguments: str) -> str:
        return "Bearer " + server.cli("keys", "create", "--name", "Explorer", *arguments)["key"]

    webhook_login = f"exotel:{tenant_of_examples['webhookKey']}".encode()
    return {
        "anonymous": "",
        "admin": key("--role", "admin"),
        "client": key("--role", "client", "--client", tenant_of_examples["id"]),
        "exotel": "Basic " + b64encode(webhook_login).decode(),
    }


@pytest.fixture(scope="module")
def examples(server, document, logins, module_query) -> dict[str, int]:
    """The status of the answer to each operation's example. The resources in the examples exist."""
    members = document["components"]["schemas"]["Login"]["properties"]
    user = {name: member["examples"][0] for name, member in members.items()}
    server.cli("users", "add", "--email", user["email"], "--role", "admin", "--password-stdin", stdin=user["password"])
    (event,) = document["paths"]["/api/audit/events/{event_id}"]["get"]["parameters"]
    module_query(
        "INSERT INTO audit_logs (id, created_at, event_type, severity, status, description) "
        "VALUES (%s, now(), 'LOGOUT', 'LOW', 'success', 'Signed out')",
        event["schema"]["examples"][0],
    )
    (client_id,) = document["paths"]["/api/calls/import"]["post"]["parameters"]
    module_query(
        "INSERT INTO clients (id, name, created_at, updated_at) VALUES (%s, 'Example', now(), now())",
        client_id["schema"]["examples"][0],
    )
    session = {}

    def ask(path: str, method: str) -> int:
        by_session = session if method == "post" and path.startswith("/api/auth/") else None
        login = logins["exotel" if path.startswith("/webhooks") else "admin"]
        headers = {"Authorization": login} if by_session is None else by_session
        status, body = send(server, document, path, method, headers)
        if path == "/api/auth/login":
            session["Authorization"] = f"Bearer {json.loads(body).get('token')}"
        return status

    # Deliveries come first, so that a call exists. Logout comes after the change of password, which needs a session.
    order = [path for path in document["paths"] if path.startswith("/webhooks")]
    order += ["/api/auth/login", "/api/auth/password", "/api/auth/logout"]
    order += [path for path in document["paths"] if path not in order]
    return {f"{method.upper()} {path}": ask(path, method) for path in order for method in document["paths"][path]}


def send(server: Server, document: dict, path: str, method: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Returns the answer to the documented example of an operation."""
    operation = document["paths"][path][method]
    query = {}
    for parameter in operation["parameters"]:
        example = (parameter["schema"].get("examples") or [None])[0]
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", quote(example))
        elif example is not None:
            query[parameter["name"]] = str(example).lower() if isinstance(example, bool) else example
    body = None
    if "requestBody" in operation:
        content_type, body = example_body(document, operation["requestBody"]["content"])
        headers = {**headers, "Content-Type": content_type}
    connection: HTTPConnection = server.connect()
    connection.request(method.upper(), f"{path}?{urlencode(query)}", body, headers)
    answer = connection.getresponse()
    status, content = answer.status, answer.read()
    connection.close()
    return status, content


def example_body(document: dict, content: dict) -> tuple[str, str]:
    """Returns the example in the first content type: of each member of an object, or of a text."""
    content_type, described = next(iter(content.items()))
    schema = described["schema"]
    if "$ref" not in schema:
        return content_type, schema["examples"][0]
    members = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    return content_type, json.dumps({name: member["examples"][0] for name, member in members.items()})


@pytest.fixture(scope="module")
def explored(server, examples, logins, tmp_path_factory) -> tuple[dict, list[int]]:
    """The report of each explorer, and the statuses of its answers."""
    before = len(statuses(server))
    reports = {
        explorer: explore(server, explorer, logins[explorer], tmp_path_factory.mktemp(explorer))
        for explorer in EXPLORERS
    }
    return reports, statuses(server)[before:]


def explore(server: Server, explorer: str, login: str, folder: Path) -> subprocess.CompletedProcess:
    paths, max_examples, excluded_checks = EXPLORERS[explorer]
    # GET is also allowed at /api/calls/import: it returns the call of that name.
    excluded_checks += ",allow_header_conformance"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json"]
    command += ["--include-path-regex", paths, "--max-examples", str(max_examples), "--exclude-checks", excluded_checks]
    command += ["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--seed", SEED, "--workers", "1"]
    command += ["--generation-database", "none", "--no-color"]
    command += ["--header", f"Authorization: {login}"] if login else []
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def statuses(server: Server) -> list[int]:
    """The statuses of all answers so far."""
    return [line["status"] for line in server.log_lines() if line["message"] == "request"]


class TestExamples:
    def test_work_as_documented(self, examples):
        assert {name: status for name, status in examples.items() if status != 200} == {}


@pytest.mark.timeout(400)  # the first test waits for all explorers
class TestExploration:
    @pytest.mark.parametrize("explorer", EXPLORERS)
    def test_finds_no_undocumented_answer(self, explored, explorer):
        report = explored[0][explorer]

        assert report.returncode == 0, report.stdout + report.stderr

    def test_sends_thousands_of_requests_and_gets_no_server_error(self, explored):
        answered = explored[1]

        assert len(answered) >= MIN_REQUESTS
        assert [status for status in answered if status >= 500] == []
