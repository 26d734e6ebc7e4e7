"""A rule: a pattern, and words or marks without which it cannot match, so that most texts are decided cheaply."""

import re
from collections.abc import Iterator

_WORD = re.compile(r"[a-z]{2,}")


def words_of(text: str) -> frozenset[str]:
    """Returns the words of two and more letters in a lower-case text."""
    return frozenset(_WORD.findall(text))


class Rule:
    """Alternative patterns, tried only on a text with one of the words or marks; without any, on every text."""

    def __init__(self, *alternatives: str, words: str = "", marks: tuple[str, ...] = ()) -> None:
        self._pattern = re.compile("|".join(alternatives))
        self._words = frozenset(words.split())
        self._marks = marks

    def search(self, text: str, words: frozenset[str]) -> re.Match[str] | None:
        """Returns the first match in the text. `words` are the words of the text."""
        return self._pattern.search(text) if self._may_match(text, words) else None

    def finditer(self, text: str, words: frozenset[str]) -> Iterator[re.Match[str]]:
        """Returns all matches in the text. `words` are the words of the text."""
        return self._pattern.finditer(text) if self._may_match(text, words) else iter(())

    def _may_match(self, text: str, words: frozenset[str]) -> bool:
        if not self._words and not self._marks:
            return True
        return not words.isdisjoint(self._words) or any(mark in text for mark in self._marks)
