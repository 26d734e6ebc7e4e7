import re

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from calyapp.app import create_app
from calyapp.config import Settings, WebhookAuth
from calyapp.web import openapi
from calyapp.web.routing import Access
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.responses import DoneSchema

NOWHERE = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}
ERRORS_OF_ALL = {"400", "405", "413", "500"}


@pytest.fixture(scope="module")
def application():
    """An application without a database."""
    app = create_app(Settings.from_env(NOWHERE))
    yield app
    app.extensions["caly"].close()


@pytest.fixture(scope="module")
def document(application) -> dict:
    return application.test_client().get("/openapi.json").get_json()


@pytest.fixture(scope="module")
def operations(document) -> dict:
    """The operations by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def every(document, wanted: str):
    """Yields all values under this name in the document."""
    if isinstance(document, dict):
        yield from ([document[wanted]] if wanted in document else [])
    if isinstance(document, dict | list):
        for inner in document.values() if isinstance(document, dict) else document:
            yield from every(inner, wanted)


class TestDocument:
    def test_is_valid_openapi_3_1(self, document):
        assert document["openapi"] == "3.1.0"
        assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []

    def test_has_every_route_once(self, application, operations):
        routes = {
            (method, re.sub("<(?:.*?:)?(.*?)>", r"{\1}", rule.rule.rstrip("/")))
            for rule in application.url_map.iter_rules()
            for method in rule.methods - {"HEAD", "OPTIONS"}
        }

        assert {tuple(name.split()) for name in operations} == routes

    def test_names_each_operation_uniquely(self, operations):
        assert len({operation["operationId"] for operation in operations.values()}) == len(operations)

    def test_resolves_all_references(self, document):
        for reference in set(every(document, "$ref")):
            part = document
            for name in reference.removeprefix("#/").split("/"):
                part = part[name]
            assert part

    def test_has_a_parameter_for_each_name_in_a_path(self, operations):
        for name, operation in operations.items():
            described = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
            assert described == re.findall("{(.*?)}", name)

    def test_describes_every_parameter_and_every_member(self, document, operations):
        parameters = [parameter for operation in operations.values() for parameter in operation["parameters"]]
        members = [member for some in every(document["components"], "properties") for member in some.values()]

        assert [one for one in parameters if not one.get("description")] == []
        assert [one for one in members if not {"description", "$ref"} & set(one)] == []

    def test_has_an_example_of_every_parameter(self, operations):
        parameters = [parameter for operation in operations.values() for parameter in operation["parameters"]]

        assert {one["name"] for one in parameters if not one["schema"].get("examples")} == {"cursor"}  # signed

    def test_is_generated_once(self, application):
        first, second = (application.test_client().get("/openapi.json") for _ in range(2))

        assert first.data == second.data
        assert first.content_type == "application/json"


class TestOperations:
    def test_list_their_error_responses(self, operations):
        refusals = {
            "GET /health/live": set(),
            "GET /health/detailed": {"401", "403"},
            "GET /api/calls": {"401", "403", "429"},
            "GET /api/calls/{name}": {"401", "403", "404", "429"},
            "POST /api/auth/login": {"401", "403", "429"},
            "POST /webhooks/exotel/call-end": {"401", "403", "404", "429"},
        }

        for name, expected in refusals.items():
            errors = {status for status in operations[name]["responses"] if status not in ("200", "503")}
            assert errors == ERRORS_OF_ALL | expected, name

    def test_accept_a_delivery_in_the_query_or_in_a_body(self, operations):
        by_get, by_post = (operations[f"{method} /webhooks/exotel/call-end"] for method in ("GET", "POST"))

        assert ("requestBody" in by_get, "requestBody" in by_post) == (False, True)
        assert ("CallSid" in str(by_get["parameters"]), by_post["parameters"]) == (True, [])

    def test_accept_a_heartbeat_without_a_call(self, operations):
        names = [one["name"] for one in operations["GET /webhooks/exotel/heartbeat"]["parameters"]]

        assert "CallSid" not in names

    def test_declare_their_access(self, operations):
        assert operations["GET /health/live"]["security"] == []
        assert operations["GET /api/calls"]["security"] == [{"bearer": []}]
        assert operations["GET /health/metrics"]["security"] == [{}, {"bearer": []}]

    @pytest.mark.parametrize("demanded", [True, False])
    def test_of_webhooks_require_a_key_if_configured(self, application, demanded):
        auth = WebhookAuth.REQUIRED if demanded else WebhookAuth.OPTIONAL

        shown = openapi.document(application, auth)["paths"]["/webhooks/exotel/call-end"]["get"]["security"]

        assert shown == [{"webhookKey": []}, {"webhookLogin": []}, *([] if demanded else [{}])]


class TestRoutes:
    def test_without_a_description_are_refused_by_name(self):
        def documented():
            """Does something."""

        app = create_app(Settings.from_env(NOWHERE))
        app.add_url_rule("/mute", "mute", documented, access=Access.PUBLIC)
        described = Operation(answer=in_json(DoneSchema))
        app.add_url_rule("/untitled", "untitled", lambda: "", access=Access.PUBLIC, operation=described)
        app.extensions["caly"].close()

        with pytest.raises(LookupError, match=r": /mute, /untitled$"):
            openapi.document(app, WebhookAuth.OPTIONAL)
