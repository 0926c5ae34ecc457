"""The spans of a text that may be an answer, as a tree of the tokens that spell them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

AFTER = "Answer:"  # tokenizers spell a word by what is before it
LONGEST = 16  # words of an answer
_BEFORE = "£$€¥#"  # marks that belong to the word behind them
_BEHIND = "%°)]"  # and to the one before
_WORD = re.compile(r"\S+")


@dataclass
class Node:
    """What may follow a beginning: by token, the node behind it. ends: whether it may end here."""

    following: dict[int, Node] = field(default_factory=dict)
    ends: bool = False


def span_tree(text: str, tokenizer: Any, longest: int = LONGEST) -> Node:
    """Every run of at most ``longest`` words, as it is spelled after ``AFTER`` and a space.

    A run begins and ends with a word, without the marks around it; what has no letter and no digit
    (a dash between two words) is not counted as one. tokenizer: a ``Tokenizer`` of
    the tokenizers library whose tokens do not reach from one word into the next.
    """
    words = [
        trimmed for match in _WORD.finditer(text) if (trimmed := _trimmed(text, *match.span()))
    ]
    root = Node()
    spelled, ends = [], []
    for first, (start, _) in enumerate(words):
        run = words[first : first + longest]
        spelled.append(f"{AFTER} {text[start : run[-1][1]]}")
        ends.append({end - start + len(AFTER) + 1 for _, end in run})
    for encoding, borders in zip(_encoded(tokenizer, spelled), ends, strict=True):
        path = zip(encoding.ids, encoding.offsets, strict=True)
        _add(root, [(token, *place) for token, place in path if place[1] > len(AFTER)], borders)
    return root


def _encoded(tokenizer: Any, texts: list[str]) -> list[Any]:
    return list(tokenizer.encode_batch(texts, add_special_tokens=False)) if texts else []


def _add(root: Node, path: Sequence[tuple[int, int, int]], borders: Collection[int]) -> None:
    """A path of tokens, each with its characters. Of the tokens that make up one character, only
    the last may end a span."""
    node = root
    for place, (token, _, end) in enumerate(path):
        node = node.following.setdefault(token, Node())
        if end in borders and all(start >= end for _, start, _ in path[place + 1 : place + 2]):
            node.ends = True


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    """A word without quotes, stops and brackets around it; None if it is nothing else."""
    while start < end and not (text[start].isalnum() or text[start] in _BEFORE):
        start += 1
    while start < end and not (text[end - 1].isalnum() or _closes(text, start, end)):
        end -= 1
    return (start, end) if any(map(str.isalnum, text[start:end])) else None


def _closes(text: str, start: int, end: int) -> bool:
    """Whether the last mark of a word belongs to it."""
    mark, before = text[end - 1], text[start : end - 1]
    opened = {")": "(", "]": "["}.get(mark)
    return mark in _BEHIND and (opened is None or opened in before)
