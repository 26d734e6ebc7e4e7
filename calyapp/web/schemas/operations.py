"""What a route takes and answers, as its rule declares it: `add_url_rule(…, operation=Operation(…))`.

The OpenAPI document is made of this, of the view's docstring, and of what the rule says of access and limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

Content = Mapping[str, type[Schema] | Mapping[str, Any]]
"""Media types, each with a schema of ours or, for what is no JSON, with a JSON Schema of its text."""

ANSWERED = (200,)

UUID_EXAMPLE = "01890a5d-ac96-774b-bcce-b302099a8057"
MOMENT_EXAMPLE = "2026-11-22T09:30:00.000Z"
CALL_SID_EXAMPLE = "b6ecd0cb9e3bd31d8ec7a1b2c3d4e5f6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What no one can tell from the rule itself.

    `statuses` are those that the answer comes with. `query_or_body` are fields that GET takes from the query, and other
    methods from a body in any encoding. `refusals` are statuses of errors that follow neither from the rule's access
    and limit nor from its having a path parameter, and that not every route has (`openapi`).
    """

    answer: Content
    statuses: tuple[int, ...] = ANSWERED
    path: type[Schema] | None = None
    query: type[Schema] | None = None
    body: Content | None = None
    query_or_body: type[Schema] | None = None
    refusals: tuple[int, ...] = ()


def in_json(schema: type[Schema]) -> Content:
    """Content that is JSON only."""
    return {"application/json": schema}


def in_any_form(schema: type[Schema]) -> Content:
    """Content in whichever encoding has names and texts."""
    return dict.fromkeys(("application/json", "application/x-www-form-urlencoded", "multipart/form-data"), schema)


def about(description: str, *examples: Any, **keywords: Any) -> dict[str, Any]:
    """A field's `metadata`: what it means, examples of it, and further keywords of JSON Schema."""
    return {"description": description, **({"examples": [*examples]} if examples else {}), **keywords}
