"""A rule: a pattern, and the words without which it cannot match, so that most texts cost a look at their words."""

import re
from collections.abc import Iterator

_WORD = re.compile(r"[a-z]{2,}")


def words_of(text: str) -> frozenset[str]:
    """The words of a text in small letters."""
    return frozenset(_WORD.findall(text))


class Rule:
    """Any of the alternatives, tried where at least one of the words or marks stands; everywhere without any."""

    def __init__(self, *alternatives: str, words: str = "", marks: tuple[str, ...] = ()) -> None:
        self._pattern = re.compile("|".join(alternatives))
        self._words = frozenset(words.split())
        self._marks = marks

    def search(self, text: str, words: frozenset[str]) -> re.Match[str] | None:
        """The first match in the text, whose words these are."""
        return self._pattern.search(text) if self._may_match(text, words) else None

    def finditer(self, text: str, words: frozenset[str]) -> Iterator[re.Match[str]]:
        """All matches in the text, whose words these are."""
        return self._pattern.finditer(text) if self._may_match(text, words) else iter(())

    def _may_match(self, text: str, words: frozenset[str]) -> bool:
        if not self._words and not self._marks:
            return True
        return not words.isdisjoint(self._words) or any(mark in text for mark in self._marks)
