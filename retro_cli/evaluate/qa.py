"""Questions answered from a database, and how right the answers and their citations are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retro_cli.asking.answerer import Answerer
from retro_cli.asking.extracting import Extracting
from retro_cli.asking.reply import Reply
from retro_cli.asking.sentences import passage
from retro_cli.evaluate.answers import contains, exact_match, f1, right
from retro_cli.evaluate.gold import GoldChunks, same_document
from retro_cli.events import SILENT, Progress
from retro_cli.exchange.questions import Question
from retro_cli.query.retrieve import Hit
from retro_cli.query.search import Find

READER, GOLD, CLOSED = "reader", "gold", "closed-book"


@dataclass(frozen=True)
class Judged:
    """One reply. nats: - log p of the likeliest reference, where it is known; bytes: of that one.

    right: see ``answers.right``. in_evidence: the words of a reference stand in what was found.
    cited, verbatim, supporting: citations; those whose quote stands in its passage; and of these
    those whose passage is of a document that the question names, or else holds a reference.
    """

    question: Question
    reply: Reply
    exact: bool
    f1: float
    right: bool
    in_evidence: bool
    cited: int
    verbatim: int
    supporting: int
    nats: float | None
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.question.id,
            "question": self.question.text,
            "answers": list(self.question.answers),
            "answer": self.reply.answer,
            "text": self.reply.text,
            "confidence": self.reply.confidence,
            "exact": self.exact,
            "f1": self.f1,
            "right": self.right,
            "in_evidence": self.in_evidence,
            "nats": self.nats,
            "citations": [citation.to_json() for citation in self.reply.citations],
            "chunks": [hit.chunk for hit in self.reply.hits],
        }


@dataclass(frozen=True)
class Condition:
    """A way to answer, and where its evidence comes from."""

    answerer: Answerer
    gold: bool = False

    @classmethod
    def handed(cls, answerer: Answerer) -> Condition:
        """The gold chunk handed over: that it holds the answer is known, and nothing to doubt."""
        sure = answerer.sure() if isinstance(answerer, Extracting) else answerer
        return cls(sure, gold=True)


def answer_all(
    questions: Sequence[Question],
    conditions: Mapping[str, Condition],
    find: Find | None,
    gold: GoldChunks | None,
    k: int,
    *,
    likelihoods: bool = True,
    progress: Progress = SILENT,
) -> dict[str, list[Judged]]:
    """Every question under every condition, one after the other.

    find, gold: where evidence is, for the conditions that read. With gold evidence, a question
    without a gold chunk is left out. likelihoods: whether references are scored, which takes time.
    """
    found: dict[str, list[Judged]] = {name: [] for name in conditions}
    progress.started("questions", len(questions), "questions")
    for question in questions:
        for name, condition in conditions.items():
            hits = _evidence(question, condition, find, gold, k)
            if hits is not None:
                found[name].append(judged(question, condition.answerer, hits, likelihoods))
        progress.advanced("questions", 1)
    progress.finished("questions")
    return found


def _evidence(
    question: Question, condition: Condition, find: Find | None, gold: GoldChunks | None, k: int
) -> tuple[Hit, ...] | None:
    if condition.gold and gold is not None:
        return gold.of(question) or None
    if not condition.answerer.reads or find is None:
        return ()
    return find([question.text], k)[0].hits


def judged(
    question: Question, answerer: Answerer, hits: Sequence[Hit], likelihoods: bool = True
) -> Judged:
    """A question put to an answerer, and what came of it."""
    reply = answerer.answer(question.text, hits)
    references = question.answers
    nats, size = None, 0
    if references and likelihoods:
        nats = answerer.nats(question.text, hits, references[0])
        size = len(references[0].encode("utf-8")) if nats is not None else 0
    good = [citation for citation in reply.citations if citation.verbatim and citation.hit]
    return Judged(
        question, reply,
        exact=exact_match(reply.answer, references),
        f1=f1(reply.answer, references),
        right=right(reply.answer, references),
        in_evidence=any(contains(passage(hit), references) for hit in hits),
        cited=len(reply.citations),
        verbatim=len(good),
        supporting=sum(_supports(citation.hit, question) for citation in good if citation.hit),
        nats=nats, bytes=size,
    )  # fmt: skip


def _supports(hit: Hit, question: Question) -> bool:
    if question.documents:
        named = [hit.document, *(document for document, _ in hit.also)]
        return any(same_document(name, each) for name in question.documents for each in named)
    return contains(passage(hit), question.answers)
