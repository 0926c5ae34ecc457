"""What was found for a question, in the shapes that readers of other projects take."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from retro_cli.exchange.questions import Question

if TYPE_CHECKING:
    from retro_cli.query.retrieve import Hit

SHAPES = ("dpr", "fid", "kilt")

# A hit's first and last paragraph and character in its document; None where they are not known.
Place = tuple[int, int, int, int]
Locate = Callable[["Hit"], Place | None]

_PLAIN_WORDS = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9\x00-\x20\x7f]")


def records(
    found: Iterable[tuple[Question, Sequence[Hit]]], shape: str, locate: Locate
) -> Iterator[str]:
    """The pieces of a file in one of SHAPES: a JSON list for DPR and FiD, JSON lines for KILT."""
    if shape == "kilt":
        for question, hits in found:
            yield _encoded(kilt_record(question, hits, locate)) + "\n"
        return
    make = dpr_record if shape == "dpr" else fid_record
    before = "[\n"
    for question, hits in found:
        yield before + _encoded(make(question, hits))
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def passage_id(hit: Hit) -> str:
    """A chunk by its document and its place in it, as MaxP evaluation takes it apart."""
    return f"{hit.document}#{hit.position}"


def dpr_record(question: Question, hits: Sequence[Hit]) -> dict[str, Any]:
    """As DPR's retriever writes it: scores are text."""
    answers = list(question.answers)
    return {"question": question.text, "answers": answers, "ctxs": _ctxs(question, hits)}


def fid_record(question: Question, hits: Sequence[Hit]) -> dict[str, Any]:
    """As FiD reads it; the target is the first answer, "" where none is known."""
    target = question.answers[0] if question.answers else ""
    return {"id": question.id, "target": target, **dpr_record(question, hits)}


def kilt_record(question: Question, hits: Sequence[Hit], locate: Locate) -> dict[str, Any]:
    """As KILT's evaluation takes predictions: pages, with the paragraphs where they are known."""
    provenance = []
    for hit in hits:
        item: dict[str, Any] = {"wikipedia_id": hit.document, "title": hit.title}
        if (place := locate(hit)) is not None:
            names = ("start_paragraph_id", "start_character", "end_paragraph_id", "end_character")
            item |= dict(zip(names, place, strict=True))
        provenance.append({**item, "text": hit.text, "score": hit.score})
    output = [{"answer": "", "provenance": provenance}]
    return {"id": question.id, "input": question.text, "output": output}


def place_in(before: str, text: str) -> Place:
    """Where ``text`` begins and ends after ``before``: paragraphs, which are lines, and
    characters in them."""
    whole = before + text.rstrip()
    first, last = before.count("\n"), whole.count("\n")
    return (
        first,
        len(before) - (before.rfind("\n") + 1),
        last,
        len(whole) - (whole.rfind("\n") + 1),
    )


def has_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether the words of an answer stand in the text one after another, whatever their case
    (Karpukhin et al. 2020, section 4): words are runs of letters, digits and marks in normal form
    D, and every other visible character is a word of its own."""
    words = _words(text)
    return any(_stands_in(_words(answer), words) for answer in answers)


def _stands_in(part: list[str], whole: list[str]) -> bool:
    size = len(part)
    return bool(part) and any(whole[at : at + size] == part for at in range(len(whole) - size + 1))


def _words(text: str) -> list[str]:
    if text.isascii():
        return [word.lower() for word in _PLAIN_WORDS.findall(text)]
    marked = "".join(map(_apart, unicodedata.normalize("NFD", text)))
    return marked.lower().split()


def _apart(letter: str) -> str:
    """A character as it is in a word, or apart from its neighbours, or a space."""
    kind = unicodedata.category(letter)[0]
    return letter if kind in "LNM" else " " if kind in "ZC" else f" {letter} "


def _ctxs(question: Question, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [
        {
            "id": passage_id(hit),
            "title": hit.title,
            "text": hit.text,
            "score": f"{hit.score:.9g}",
            "has_answer": has_answer(hit.text, question.answers),
        }
        for hit in hits
    ]


def _encoded(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
