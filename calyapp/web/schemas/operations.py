"""What a route accepts and returns, as its rule declares it: `add_url_rule(…, operation=Operation(…))`.

The OpenAPI document is generated from this, the view's docstring, and the access and limit of the rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

Content = Mapping[str, type[Schema] | Mapping[str, Any]]
"""Media types, each with a marshmallow schema or, if it is not JSON, with a JSON Schema of the text."""

UUID_EXAMPLE = "01890a5d-ac96-774b-bcce-b302099a8057"
MOMENT_EXAMPLE = "2026-11-22T09:30:00.000Z"
CALL_SID_EXAMPLE = "b6ecd0cb9e3bd31d8ec7a1b2c3d4e5f6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the rule itself does not tell about an operation.

    `statuses` are those of a successful answer. `query_or_body` are fields that GET accepts in the query, and other
    methods in a body of any encoding. `refusals` are further error statuses, besides those that `openapi` derives from
    the rule's access, limit and path parameters.
    """

    answer: Content
    statuses: tuple[int, ...] = (200,)
    path: type[Schema] | None = None
    query: type[Schema] | None = None
    body: Content | None = None
    query_or_body: type[Schema] | None = None
    refusals: tuple[int, ...] = ()


def in_json(schema: type[Schema]) -> Content:
    """Returns content that is only JSON."""
    return {"application/json": schema}


def in_any_form(schema: type[Schema]) -> Content:
    """Returns content in each encoding that has names and texts: JSON and forms."""
    return dict.fromkeys(("application/json", "application/x-www-form-urlencoded", "multipart/form-data"), schema)


def about(description: str, *examples: Any, **keywords: Any) -> dict[str, Any]:
    """Returns the `metadata` of a field: description, examples, and further keywords of JSON Schema."""
    return {"description": description, **({"examples": [*examples]} if examples else {}), **keywords}
