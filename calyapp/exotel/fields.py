"""Access to the parameters of a delivery by name: several names of one field, bracket keys, JSON inside a text.

It knows how Exotel writes parameters (docs/exotel-protocol.md, sections 2.1 and 3.1), not what they mean. Where a name
is repeated, the first text counts. A blank text and `null` say nothing (section 2.6).
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

_MAX_MEMBERS = 16


class Fields:
    """Parameters, or a group of them: `Legs[0][Status]` is `0[Status]` in the group `Legs`."""

    def __init__(self, parameters: Iterable[tuple[str, str]]) -> None:
        self._texts: dict[str, str] = {}
        self._groups: dict[str, list[tuple[str, str]]] = {}
        for name, text in parameters:
            self._texts.setdefault(name, text)
            head, bracket, rest = name.partition("[")
            if bracket:
                inner, _, more = rest.partition("]")
                self._groups.setdefault(head, []).append((inner + more, text))

    def has(self, *names: str) -> bool:
        """Whether any of the names was sent, even blank, as a text or as a group."""
        return not (self._texts.keys().isdisjoint(names) and self._groups.keys().isdisjoint(names))

    def is_group(self, name: str) -> bool:
        """Whether the name came as a list or an object, in bracket keys."""
        return name not in self._texts and name in self._groups

    def text(self, *names: str) -> str:
        """Returns the first text under these names that says something, unchanged; else an empty text."""
        for name in names:
            text = self._texts.get(name)
            if text and text.strip().lower() not in ("", "null"):
                return text
        return ""

    def raw(self, *names: str) -> str:
        """Like `text`, but returns the first text that was sent at all if none says anything."""
        return self.text(*names) or next((self._texts[name] for name in names if name in self._texts), "")

    def word(self, *names: str) -> str:
        """Like `text`, in one spelling for comparisons: `In_Progress` is `in-progress`."""
        return self.text(*names).strip().lower().replace("_", "-")

    def group(self, name: str) -> "Fields":
        """Returns the members of the name, from bracket keys or a JSON text. Broken JSON has no members."""
        return Fields((*self._groups.get(name, ()), *_json_members(self._texts.get(name, ""))))

    def members(self, name: str) -> list["Fields"]:
        """Returns the first 16 members of a list, or of an object with numbers for names, in order."""
        if not self.has(name):
            return []
        group = self.group(name)
        return [group.group(str(index)) for index in range(_MAX_MEMBERS)]


def _json_members(text: str) -> Iterator[tuple[str, str]]:
    """Yields the members of a JSON text under bracket names, two levels deep: Exotel nests no deeper."""
    if not text.lstrip().startswith(("{", "[")):
        return
    try:
        # Numbers stay as they were written. This also avoids converting huge ones.
        parsed = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return
    for name, value in _items(parsed):
        if isinstance(value, str):
            yield name, value
        for inner, member in _items(value):
            if isinstance(member, str):
                yield f"{name}[{inner}]", member


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return ((str(index), item) for index, item in enumerate(value)) if isinstance(value, list) else ()
