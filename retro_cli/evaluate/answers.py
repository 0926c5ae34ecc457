"""How right an answer is: exact match, F1 and containment, after SQuAD's normalisation."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without ASCII punctuation, English articles and spare white space.

    As the evaluation of SQuAD has it (Rajpurkar et al. 2016, section 6.1).
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_MARKS)).split())


def exact_match(answer: str, references: Sequence[str]) -> bool:
    """Whether an answer is one of the references; without any, whether it is empty."""
    mine = normalised(answer)
    return any(mine == normalised(each) for each in references) if references else not mine


def f1(answer: str, references: Sequence[str]) -> float:
    """The best harmonic mean of precision and recall over the words shared with a reference."""
    return max((_f1(answer, each) for each in references), default=float(not normalised(answer)))


def _f1(answer: str, reference: str) -> float:
    mine, wanted = normalised(answer).split(), normalised(reference).split()
    if not mine or not wanted:
        return float(mine == wanted)
    shared = sum((Counter(mine) & Counter(wanted)).values())
    return 2 * shared / (len(mine) + len(wanted))


def contains(text: str, references: Sequence[str]) -> bool:
    """Whether the words of a reference stand together in a text."""
    words = f" {normalised(text)} "
    return any(f" {wanted} " in words for each in references if (wanted := normalised(each)))


def right(answer: str, references: Sequence[str]) -> bool:
    """Whether an answer says what a reference does, if not in all of its words.

    It holds the words of a reference together, or it has every number of it and an F1 with it of
    more than one half: "43" for "43 persons", but not "41 persons", nor "persons".
    """
    mine = set(normalised(answer).split())
    return any(
        contains(answer, [each]) or (f1(answer, [each]) > 0.5 and mine >= _numbers(each))
        for each in references
    )


def _numbers(text: str) -> set[str]:
    return {word for word in normalised(text).split() if any(map(str.isdigit, word))}
