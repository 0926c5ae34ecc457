"""How often ``retro ask`` is right on the sample corpus, and what it says when the sources change.

python benchmarks/ask.py [--work DIR] [--limit N]

Three databases in turn, each from the one before: the archive; the archive with the second edition
of the yearbook; that without the yearbook. One model, in this process, reads them all.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from context import fresh
from measure import retro, say
from results import FOLDER, Line, Result
from transformers.utils import logging as transformers_logging

from retro_cli.asking.open import AnswerOptions, open_answerer
from retro_cli.asking.writing import CLOSED_BOOK
from retro_cli.database import Database
from retro_cli.evaluate.answers import contains, right
from retro_cli.evaluate.bootstrap import Estimate
from retro_cli.evaluate.gold import GoldChunks
from retro_cli.evaluate.qa import CLOSED, GOLD, READER, Condition, Judged, answer_all, judged
from retro_cli.evaluate.qa_report import QaReport, report
from retro_cli.events import Silent
from retro_cli.exchange.questions import Question, all_questions
from retro_cli.query.search import HYBRID, Find, Search

SAMPLE = Path(__file__).parent.parent / "sample_corpus"
K, YEARBOOK = 5, "*yearbook*"
CLOSED_TOKENS = 16  # of an answer without evidence: further words are seldom about the question
SHARE = 0.8


class _Told(Silent):
    """Says how far it is, now and then."""

    done = 0

    def advanced(self, task: str, amount: int) -> None:
        self.done += amount
        if self.done % 10 == 0:
            say(f"  {self.done} {task}")


def archive(work: Path) -> Path:
    """The archive, built in the work folder, where its yearbook can be exchanged."""
    shutil.copytree(SAMPLE / "archive", fresh(work / "archive"))
    db = fresh(work / "ask.db")
    retro("build", work / "archive", "--db", db)
    return db


def second_edition(work: Path, db: Path) -> None:
    shutil.copytree(
        SAMPLE / "yearbook-2" / "yearbook", work / "archive" / "yearbook", dirs_exist_ok=True
    )
    retro("build", work / "archive", "--db", db)


def finder(database: Database) -> Find:
    return database.finder(Search(HYBRID))


def first(db: Path, questions: Sequence[Question]) -> QaReport:
    """All questions, with what was found, with the gold chunk and with neither."""
    with Database.open(db) as database:
        reader = open_answerer(AnswerOptions(), database)
        closed = open_answerer(AnswerOptions(CLOSED_BOOK, max_tokens=CLOSED_TOKENS), None)
        conditions = {
            READER: Condition(reader),
            GOLD: Condition.handed(reader),
            CLOSED: Condition(closed),
        }
        gold = GoldChunks(database.retriever, questions)
        found = answer_all(
            questions, conditions, finder(database), gold, K, likelihoods=False, progress=_Told()
        )
        return report(found)


def asked_again(db: Path, questions: Sequence[Question]) -> list[Judged]:
    with Database.open(db) as database:
        reader, find = open_answerer(AnswerOptions(), database), finder(database)
        return [
            judged(each, reader, find([each.text], K)[0].hits, likelihoods=False)
            for each in questions
        ]


def given(one: Judged) -> tuple[bool, bool]:
    """Whether the old fact is in an answer, and the new one."""
    old, new = one.question.answers[0], str(one.question.fields["answer_after_update"])
    return right(one.reply.answer, [old]), right(one.reply.answer, [new])


def still_told(db: Path, facts: Sequence[str]) -> list[bool]:
    """Whether each fact stands in a chunk that may be shown."""
    with Database.open(db) as database:
        retriever = database.retriever
        chunks = retriever.rows.get(np.flatnonzero(retriever.own).tolist())
        return [any(contains(chunk.text, [fact]) for chunk in chunks) for fact in facts]


def from_yearbook(one: Judged) -> bool:
    return any("yearbook/" in hit.source for hit in one.reply.hits)


def measured(work: Path, questions: Sequence[Question]) -> Result:
    db = archive(work)
    say(f"{len(questions)} questions")
    found = first(db, questions)
    for name, values in found.measured.items():
        say(f"{name}: " + ", ".join(f"{key} {_told(value)}" for key, value in values.items()))
    updates = [one for one in found.judged[READER] if one.question.fields["kind"] == "update"]
    known = [one for one in updates if given(one)[0]]
    second_edition(work, db)
    after = asked_again(db, [one.question for one in known])
    retro("filter", "add", db, "--source", YEARBOOK, "--reason", "a test of what is gone")
    gone = asked_again(db, [one.question for one in known])
    elsewhere = still_told(db, [one.question.answers[0] for one in known])
    facts = {
        "k": K, "retriever": HYBRID, "reader": "extract", "model": "SmolLM2-135M-Instruct",
        "report": _without_answers(found), "updates": _changes(known, after, gone, elsewhere),
        "answers": _answers(found),
    }  # fmt: skip
    return Result("ask", _lines(found, updates, after, gone, elsewhere), facts)


def _lines(
    found: QaReport, updates: Sequence[Judged], after: Sequence[Judged], gone: Sequence[Judged],
    elsewhere: Sequence[bool],
) -> list[Line]:  # fmt: skip
    right = {name: values["right"] for name, values in found.measured.items()}
    share = found.against_gold
    assert share is not None
    assert share.value is not None
    new = sum(given(one) == (False, True) for one in after)
    alone = [one for one, told in zip(gone, elsewhere, strict=True) if not told]
    neither = sum(given(one) == (False, False) for one in alone)
    shown = sum(map(from_yearbook, gone))
    count = len(after)
    rates = ", ".join(f"{name} {_told(value)}" for name, value in right.items())
    return [
        Line(
            "`retro ask` on the sample corpus with SmolLM2-135M: right, by right with the gold "
            "chunk handed over", f"at least {SHARE}", f"{_told(share)}: {rates}", share.value,
            SHARE, True,
        ),
        Line(
            "the second yearbook edition indexed: the new fact instead of the old, of the "
            "questions answered right before", "all of them",
            f"{new} of {count} (of {len(updates)} that it changes)", new, count, True,
        ),
        Line(
            "the yearbook filtered out: neither fact, of those questions whose old fact stands "
            "nowhere else", "all of them", f"{neither} of {len(alone)}", neither, len(alone), True,
        ),
        Line("evidence of the yearbook after that", "none", f"{shown} of {count}", shown, 0, False),
    ]  # fmt: skip


def _changes(
    known: Sequence[Judged], after: Sequence[Judged], gone: Sequence[Judged],
    elsewhere: Sequence[bool],
) -> list[dict[str, Any]]:  # fmt: skip
    return [
        {
            "question": one.question.text, "old": one.question.answers[0],
            "new": one.question.fields["answer_after_update"], "before": one.reply.answer,
            "after": two.reply.answer, "filtered": three.reply.answer,
            "told elsewhere": told,
            "sources": [hit.source.split("archive/")[-1] for hit in three.reply.hits],
        }
        for one, two, three, told in zip(known, after, gone, elsewhere, strict=True)
    ]  # fmt: skip


def _without_answers(found: QaReport) -> dict[str, Any]:
    return {name: value for name, value in found.to_json().items() if name != "answers"}


def _answers(found: QaReport) -> list[dict[str, Any]]:
    """What was said to each question, for whoever wants to look."""
    handed = {one.question.id: one for one in found.judged[GOLD]}
    alone = {one.question.id: one for one in found.judged[CLOSED]}
    return [
        {
            "id": one.question.id, "answers": list(one.question.answers), "ask": one.reply.answer,
            "read": one.reply.text, "right": one.right, "confidence": one.reply.confidence,
            "in_evidence": one.in_evidence,
            "gold": handed[one.question.id].reply.answer if one.question.id in handed else None,
            "closed": alone[one.question.id].reply.text,
        }
        for one in found.judged[READER]
    ]  # fmt: skip


def _told(value: Estimate) -> str:
    if value.value is None:
        return "-"
    if value.low is None or value.high is None:
        return f"{value.value:.2f}"
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="The benchmark 'ask'.")
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    parser.add_argument("--limit", type=int, help="some questions only: does it run at all?")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    transformers_logging.set_verbosity_error()
    questions = all_questions(str(SAMPLE / "questions.jsonl"))
    if chosen.limit:
        questions = random.Random(1).sample(questions, chosen.limit)
    result = measured(chosen.work.resolve(), questions)
    folder = chosen.work / "quick-results" if chosen.limit else FOLDER
    path = result.save(folder, quick=bool(chosen.limit))
    for line in result.lines:
        say(f"{'met   ' if line.met else 'MISSED'} {line.what}: {line.measured} ({line.target})")
    say(f"ask: {path}")


if __name__ == "__main__":
    main()
