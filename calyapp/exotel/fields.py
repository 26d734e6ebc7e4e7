"""A delivery's parameters by name: twins, bracket keys, JSON in a text. Knows how Exotel writes, not what it means.

The first text under a name counts. Blank and `null` say nothing.
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
        """Whether any of them is there, with whatever text or as a group."""
        return not (self._texts.keys().isdisjoint(names) and self._groups.keys().isdisjoint(names))

    def is_group(self, name: str) -> bool:
        """Whether it came as a list or an object."""
        return name not in self._texts and name in self._groups

    def text(self, *names: str) -> str:
        """The first of the twins that says something, to the letter; else an empty text."""
        for name in names:
            text = self._texts.get(name)
            if text and text.strip().lower() not in ("", "null"):
                return text
        return ""

    def raw(self, *names: str) -> str:
        """As `text`; but where none of them says anything, the first that came at all."""
        return self.text(*names) or next((self._texts[name] for name in names if name in self._texts), "")

    def word(self, *names: str) -> str:
        """As `text`, in the one spelling to compare by: `In_Progress` is `in-progress`."""
        return self.text(*names).strip().lower().replace("_", "-")

    def group(self, name: str) -> "Fields":
        """What stands under the name, as bracket keys or as one JSON text; empty where that is broken."""
        return Fields((*self._groups.get(name, ()), *_written(self._texts.get(name, ""))))

    def members(self, name: str) -> list["Fields"]:
        """The members of a list, or of a map with numbers for names, in order; the first sixteen."""
        if not self.has(name):
            return []
        group = self.group(name)
        return [group.group(str(index)) for index in range(_MAX_MEMBERS)]


def _written(text: str) -> Iterator[tuple[str, str]]:
    """The members of a JSON text in bracket names, two levels deep: Exotel writes no deeper ones."""
    if not text.lstrip().startswith(("{", "[")):
        return
    try:
        # Numbers stay as they were written, which also spares us the conversion of absurd ones.
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
