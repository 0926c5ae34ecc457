"""Quotes: the sentence that holds an answer, and whether what is quoted stands in the source."""

from __future__ import annotations

import re
from dataclasses import dataclass

Span = tuple[int, int]
_END = re.compile(r"[.!?][\"'”’»)\]*_]*(?=\s)|\n\s*\n|\n(?=[#*|-])")
_ABBREVIATED = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|Prof|Rev|Capt|Col|vs|etc|ca)|\b\w)\.$")
_QUOTED = re.compile(r"\"([^\"\n]{3,})\"|“([^”\n]{3,})”|«([^»\n]{3,})»")
_NUMBER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")


@dataclass(frozen=True)
class Quoted:
    """A passage's number, and the words that a text quotes from it; no words, a bare number."""

    number: int
    words: str


def sentences(text: str) -> list[Span]:
    """Where the sentences of a text begin and end, without the white space around them."""
    borders, start = [], 0
    for match in _END.finditer(text):
        if match[0].startswith(".") and _ABBREVIATED.search(
            text[max(start, match.start() - 8) : match.start() + 1]
        ):
            continue
        borders.append((start, match.end()))
        start = match.end()
    return [span for a, b in [*borders, (start, len(text))] if (span := _stripped(text, a, b))]


def _stripped(text: str, start: int, end: int) -> Span | None:
    words = text[start:end]
    start += len(words) - len(words.lstrip())
    return (start, start + len(words.strip())) if words.strip() else None


def sentence_of(text: str, start: int, end: int) -> Span:
    """The sentences that the characters [start, end) lie in, from the first to the last."""
    touched = [(a, b) for a, b in sentences(text) if a < end and b > start]
    return (touched[0][0], touched[-1][1]) if touched else (start, end)


def find_verbatim(words: str, text: str) -> Span | None:
    """Where the words stand in a text, letter for letter; only white space may differ."""
    parts = words.split()
    if not parts:
        return None
    match = re.search(r"\s+".join(map(re.escape, parts)), text)
    return match.span() if match else None


def quoted_in(text: str) -> list[Quoted]:
    """What an answer quotes, passage by passage: [2] "words", or "words" [2], in order.

    Words belong to the number before them, else to the one behind. A number without words next to
    it cites the passage as a whole.
    """
    quotes = [
        (*match.span(), next(filter(None, match.groups()))) for match in _QUOTED.finditer(text)
    ]
    numbers = [(*match.span(), match[1]) for match in _NUMBER.finditer(text)]
    behind = {
        end: (start, words)
        for _, end, _ in numbers
        for start, _, words in quotes
        if _adjoins(text, end, start)
    }
    taken = {start for start, _ in behind.values()}
    before = {
        number: words
        for number, _, _ in numbers
        for start, end, words in quotes
        if start not in taken and _adjoins(text, end, number)
    }
    found = []
    for start, end, listed in numbers:
        words = behind[end][1] if end in behind else before.get(start, "")
        found += [Quoted(int(number), words) for number in listed.split(",")]
    return list(dict.fromkeys(found))


def _adjoins(text: str, left: int, right: int) -> bool:
    """Whether no more than marks stand between two places of one line."""
    between = text[left:right] if left <= right else "."
    return left <= right and len(between) <= 4 and not re.search(r"[\w\n\[\]\"]", between)
