"""As much of the evidence as there is room for: passages are cut, the question never is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from retro_cli.asking.sentences import passage
from retro_cli.asking.template import Template
from retro_cli.query.retrieve import Hit

Count = Callable[[str], int]
LEAST = 16  # tokens; of less of a passage nothing can be learned


def fitted(hits: Sequence[Hit], template: Template, budget: int, count: Count) -> list[str]:
    """The passages as a model is shown them, best first, of ``budget`` tokens together at most.

    count: the tokens of a text. The passage for which there is no room left is cut at the end of
    a word, or left out with those behind it if fewer than 16 tokens of it would stay.
    """
    shown: list[str] = []
    left = budget
    for number, hit in enumerate(hits, 1):
        told = partial(template.shown, number, hit.title, hit.source, hit.document)
        text = _cut(passage(hit), told, count, left)
        whole = text == passage(hit)
        if count(told(text)) > left or not (whole or count(text) >= LEAST):
            break
        shown.append(told(text))
        left -= count(shown[-1])
        if not whole:
            break
    return shown


def _cut(text: str, told: Callable[[str], str], count: Count, most: int) -> str:
    """The longest beginning of a text, in whole words, that is ``most`` tokens when it is told."""
    words = text.split(" ")
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if count(told(" ".join(words[:middle]))) <= most:
            low = middle
        else:
            high = middle - 1
    return " ".join(words[:low])


def about(text: str) -> int:
    """A guess at the tokens of a text for a model whose tokenizer is elsewhere, rather too many."""
    return len(text.encode("utf-8")) // 3 + 1
