"""The OpenAPI document: how machines learn this API. Made from the rules as registered, their schemas and docstrings.

A route is described where it is added (`operations`); here stands what is true of all of them.
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
from calyapp.web.routing import Access, GuardedRule
from calyapp.web.schemas.operations import Content, Operation, in_any_form, in_json
from calyapp.web.schemas.responses import REQUEST_ID_EXAMPLE, ErrorSchema

_DESCRIPTION = (
    "Answers Exotel's telephone webhooks, and shows the calls and the audit trail that come of them.\n\n"
    "Every error has one shape. Arguments and members that are not named here are refused by `/api`; answers may come "
    "to have more members than are named here."
)
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A session's token, or an API key."},
    "webhookKey": {
        "type": "apiKey",
        "in": "query",
        "name": parameters.KEY,
        "description": "The client's webhook key, as it stands in the URL that is registered with Exotel.",
    },
    "webhookLogin": {"type": "http", "scheme": "basic", "description": "The webhook key as password; any user name."},
}
_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.WEBHOOK_KEY: [{"webhookKey": []}, {"webhookLogin": []}],
    Access.TRUSTED_NETWORK: [{}, {"bearer": []}],
    Access.SIGNED_IN: [{"bearer": []}],
}
_REFUSALS = {
    400: "Something is wrong in the request; `details` says of each field what would be right.",
    401: "No key or token, or one that is wrong, has expired or was revoked.",
    403: "Not for this role; or, in production, not over plain HTTP.",
    404: "There is no such thing, or it is another client's.",
    405: "This address does not take this method; `Allow` says which it takes.",
    413: "The body is larger than this address takes.",
    429: "Too often; come back in `Retry-After` seconds.",
    500: "Something went wrong on our side, or the database is away.",
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
        "description": "What to name to those who run the service.",
        "schema": {"type": "string", "pattern": r"^\d{13}-[a-z0-9]{9,}$", "examples": [REQUEST_ID_EXAMPLE]},
    },
    "X-RateLimit-Limit": {"description": "Requests in a window.", "schema": {"type": "integer", "minimum": 1}},
    "X-RateLimit-Remaining": {"description": "What is left of them.", "schema": {"type": "integer", "minimum": 0}},
    "X-RateLimit-Reset": {"description": "The window's end, in Unix time.", "schema": {"type": "integer"}},
    "Retry-After": {"required": True, "description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "What would be accepted.", "schema": {"type": "string"}},
    "Allow": {"required": True, "description": "The methods that are taken.", "schema": {"type": "string"}},
}
_ALWAYS = ("X-Request-ID",)
_LIMITED = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_HEADERS_OF = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After", *_LIMITED)}


class OpenApi:
    """The view."""

    def __init__(self, services: Services) -> None:
        self._webhook_auth = services.settings.webhook_auth

    def show(self) -> Response:
        """Describes this API, in OpenAPI 3.1."""
        return Response(self._written, mimetype="application/json")

    @cached_property
    def _written(self) -> bytes:
        """Once a process, when somebody asks: no start waits for it."""
        return orjson.dumps(document(current_app, self._webhook_auth))


def blueprint(services: Services) -> Blueprint:
    """The route."""
    routes = Blueprint("openapi", __name__)
    shown = Operation(answer={"application/json": {"type": "object", "description": "An OpenAPI 3.1 document"}})
    routes.add_url_rule("/openapi.json", "show", OpenApi(services).show, access=Access.PUBLIC, operation=shown)
    return routes


def document(app: Flask, webhook_auth: WebhookAuth) -> dict[str, Any]:
    """All routes of the application. Raises `LookupError` for those that do not say what they take and answer."""
    rules = list(_once(app.url_map.iter_rules()))
    silent = [rule.rule for rule in rules if not (rule.operation and _said_of(app.view_functions[rule.endpoint]))]
    if silent:
        raise LookupError(f"These routes lack an operation, or their view a docstring: {', '.join(sorted(silent))}")
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
    made: dict[str, Any] = spec.to_dict()
    return made


def _once(rules: Iterable[Rule]) -> Iterator[GuardedRule]:
    """Those that also take a slash at the end are registered twice."""
    seen = set()
    for rule in rules:
        known = (rule.rule.rstrip("/"), frozenset(rule.methods or ()))
        if isinstance(rule, GuardedRule) and known not in seen:
            seen.add(known)
            yield rule


def _said_of(view: Callable[..., Any]) -> str:
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
    """The description for each of the rule's methods; to HEAD and OPTIONS Flask answers by itself."""
    methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    blueprint, _, name = rule.endpoint.partition(".")
    summary, _, description = _said_of(view).partition("\n")
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
    """Any one of these; an empty one is nobody's."""
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
    """What the answer is, by the first of its schemas."""
    schema = next(iter(content.values()))
    return str(schema["description"]) if isinstance(schema, Mapping) else inspect.getdoc(schema) or ""
