"""Generates the OpenAPI document from the registered rules, their schemas and the docstrings of their views.

Each route is described where it is added (`schemas/operations`). This module describes what all routes share.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import orjson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Flask, Response, current_app
from werkzeug.routing import Rule

import calyapp
from calyapp.config import WebhookAuth
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.refusals import REFUSALS
from calyapp.web.routing import Access, GuardedRule, JsonObject
from calyapp.web.schemas.operations import Content, Operation, in_any_form, in_json
from calyapp.web.schemas.responses import REQUEST_ID_EXAMPLE, ErrorSchema

_DESCRIPTION = (
    "Receives Exotel's webhooks for telephone calls, and gives access to the recorded calls and the audit log.\n\n"
    "All errors have the same shape (`Error`). Routes under `/api` refuse query parameters and body fields that are "
    "not documented here. Answers may get further fields in later versions: ignore fields that you do not know."
)
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A session token or an API key."},
    "webhookKey": {
        "type": "apiKey",
        "in": "query",
        "name": parameters.KEY,
        "description": "The client's webhook key, part of the URL that is registered with Exotel.",
    },
    "webhookLogin": {
        "type": "http",
        "scheme": "basic",
        "description": "The webhook key as the password, with any user name.",
    },
}
_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.WEBHOOK_KEY: [{"webhookKey": []}, {"webhookLogin": []}],
    Access.TRUSTED_NETWORK: [{}, {"bearer": []}],
    Access.SIGNED_IN: [{"bearer": []}],
}
_REFUSALS = {
    400: "The request is invalid. `details` describes the error of each field.",
    401: "The key or token is missing, wrong, expired or revoked.",
    403: "The role does not allow this. In production also: the request was sent over plain HTTP.",
    404: "The resource does not exist, or belongs to another client.",
    405: "The address does not accept this method. `Allow` lists the accepted methods.",
    413: "The body is larger than the address accepts.",
    429: "Too many requests. Try again after `Retry-After` seconds.",
    500: "An internal error occurred, or the database is away.",
}
_EVERYWHERE = (400, 405, 413, 500)
_REFUSED_BY_ACCESS: dict[Access, tuple[int, ...]] = {
    Access.PUBLIC: (),
    Access.WEBHOOK_KEY: (401, 403),
    Access.TRUSTED_NETWORK: (401, 403),
    Access.SIGNED_IN: (401, 403),
}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "required": True,
        "description": "The id of the request. Quote it when you report a problem.",
        "schema": {"type": "string", "pattern": r"^\d{13}-[a-z0-9]{9,}$", "examples": [REQUEST_ID_EXAMPLE]},
    },
    "X-RateLimit-Limit": {"description": "Requests allowed in a window.", "schema": {"type": "integer", "minimum": 1}},
    "X-RateLimit-Remaining": {
        "description": "Requests left in this window.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {"description": "End of the window (Unix time).", "schema": {"type": "integer"}},
    "Retry-After": {
        "required": True,
        "description": "Seconds to wait before the next request.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"description": "The accepted authentication scheme.", "schema": {"type": "string"}},
    "Allow": {"required": True, "description": "The accepted methods.", "schema": {"type": "string"}},
}
_ALWAYS = ("X-Request-ID",)
_LIMITED = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_HEADERS_OF = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After", *_LIMITED)}


class OpenApi:
    """The view of `/openapi.json`."""

    def __init__(self, services: Services) -> None:
        self._webhook_auth = services.settings.webhook_auth

    def show(self) -> Response:
        """Returns this description of the API, in OpenAPI 3.1."""
        return Response(self._document, mimetype="application/json")

    @cached_property
    def _document(self) -> bytes:
        """The document as JSON. Generated at the first request, so that it does not delay the start."""
        return orjson.dumps(document(current_app, self._webhook_auth))


def blueprint(services: Services) -> Blueprint:
    """Returns the route."""
    routes = Blueprint("openapi", __name__)
    operation = Operation(answer={"application/json": {"type": "object", "description": "An OpenAPI 3.1 document"}})
    routes.add_url_rule("/openapi.json", "show", OpenApi(services).show, access=Access.PUBLIC, operation=operation)
    return routes


def document(app: Flask, webhook_auth: WebhookAuth) -> JsonObject:
    """Returns the OpenAPI document of all routes.

    Raises `LookupError` if a route has no operation or its view no docstring.
    """
    rules = list(_unique(app.url_map.iter_rules()))
    undescribed = [
        rule.rule for rule in rules if not (rule.operation and _docstring(app.view_functions[rule.endpoint]))
    ]
    if undescribed:
        raise LookupError(
            f"These routes lack an operation, or their view a docstring: {', '.join(sorted(undescribed))}"
        )
    spec = APISpec(
        "Caly",
        calyapp.__version__,
        "3.1.0",
        plugins=[MarshmallowPlugin()],
        info={"description": _DESCRIPTION},
        servers=[{"url": "/"}],
    )
    _add_components(spec)
    for rule in rules:
        view = app.view_functions[rule.endpoint]
        spec.path(
            re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), operations=dict(_operations(rule, view, webhook_auth))
        )
    openapi: JsonObject = spec.to_dict()
    return openapi


def _unique(rules: Iterable[Rule]) -> Iterator[GuardedRule]:
    """Yields each route once. Webhooks are registered with and without a slash at the end."""
    seen = set()
    for rule in rules:
        route = (rule.rule.rstrip("/"), frozenset(rule.methods or ()))
        if isinstance(rule, GuardedRule) and route not in seen:
            seen.add(route)
            yield rule


def _docstring(view: Callable[..., Any]) -> str:
    return inspect.getdoc(view) or ""


def _add_components(spec: APISpec) -> None:
    for name, scheme in _SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for name, header in _HEADERS.items():
        spec.components.header(name, header)
    for status, description in _REFUSALS.items():
        headers = (*_ALWAYS, *_HEADERS_OF.get(status, ()))
        spec.components.response(REFUSALS[status].code, _response(description, in_json(ErrorSchema), headers))


def _operations(
    rule: GuardedRule, view: Callable[..., Any], webhook_auth: WebhookAuth
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the method and description of each of the rule's operations, without HEAD and OPTIONS."""
    methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    blueprint, _, name = rule.endpoint.partition(".")
    summary, _, description = _docstring(view).partition("\n")
    operation = rule.operation or Operation(answer={})
    for method in methods:
        described = {
            "operationId": "_".join((blueprint, name) if len(methods) == 1 else (blueprint, name, method.lower())),
            "tags": [blueprint],
            "summary": summary.rstrip("."),
            "description": " ".join(description.split()),
            "security": _security(rule, webhook_auth),
            "parameters": list(_parameters(operation, method)),
            "responses": _responses(rule, operation),
        }
        if body := _body(operation, method):
            described["requestBody"] = {"required": True, "content": _content(body)}
        yield method.lower(), described


def _security(rule: GuardedRule, webhook_auth: WebhookAuth) -> list[dict[str, list[str]]]:
    """Returns the alternatives. An empty one means that no key is required."""
    is_optional = rule.access is Access.WEBHOOK_KEY and webhook_auth is WebhookAuth.OPTIONAL
    return [*_SECURITY[rule.access or Access.PUBLIC], *([{}] if is_optional else [])]


def _parameters(operation: Operation, method: str) -> Iterator[dict[str, Any]]:
    in_query = operation.query_or_body if method == "GET" else None
    for place, schema in (("path", operation.path), ("query", operation.query), ("query", in_query)):
        if schema:
            yield {"in": place, "schema": schema}


def _body(operation: Operation, method: str) -> Content | None:
    if operation.query_or_body and method != "GET":
        return in_any_form(operation.query_or_body)
    return operation.body


def _responses(rule: GuardedRule, operation: Operation) -> dict[str, Any]:
    headers = (*_ALWAYS, *(_LIMITED if rule.limit else ()))
    answer = _response(_title(operation.answer), operation.answer, headers)
    refusals = {*_EVERYWHERE, *_REFUSED_BY_ACCESS[rule.access or Access.PUBLIC], *operation.refusals}
    refusals |= {404} if rule.arguments else set()
    refusals |= {429} if rule.limit else set()
    return {
        **{str(status): answer for status in operation.statuses},
        **{str(status): REFUSALS[status].code for status in sorted(refusals)},
    }


def _response(description: str, content: Content, headers: Iterable[str]) -> dict[str, Any]:
    return {"description": description, "headers": {name: name for name in headers}, "content": _content(content)}


def _content(content: Content) -> dict[str, Any]:
    return {media: {"schema": schema} for media, schema in content.items()}


def _title(content: Content) -> str:
    """Returns the description of the first schema."""
    schema = next(iter(content.values()))
    return str(schema["description"]) if isinstance(schema, Mapping) else inspect.getdoc(schema) or ""
