"""retro eval qa: how right the answers to a file of questions are, and their citations."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, eval_table, options, render
from retro_cli.cli.ask_options import Asking
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.cli.server import Server
from retro_cli.errors import UsageError

if TYPE_CHECKING:
    from retro_cli.asking.open import AnswerOptions
    from retro_cli.database import Database
    from retro_cli.evaluate.qa import Condition
    from retro_cli.evaluate.qa_report import QaReport

BESIDE, QUESTIONS = "Beside it", "Questions"


def register(group: typer.Typer, panel: str) -> None:
    command(
        group,
        "qa",
        [
            "retro eval qa demo.db --questions sample_corpus/questions.jsonl --gold --closed-book",
            "retro eval qa wiki.db --questions nq-test.tsv --reader in-context --limit 200",
        ],
        panel,
    )(qa)


def qa(
    db: options.DatabaseArgument,
    questions: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="JSON lines or JSON with question and answers, KILT's, or DPR's TSV.",
            rich_help_panel=QUESTIONS,
        ),
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first.", rich_help_panel=QUESTIONS)
    ] = None,
    gold: Annotated[
        bool,
        typer.Option(
            "--gold",
            help="Also with the gold chunk handed over, of the document that a question names.",
            rich_help_panel=BESIDE,
        ),
    ] = False,
    closed_book: Annotated[
        bool,
        typer.Option(
            "--closed-book", help="Also the model without evidence.", rich_help_panel=BESIDE
        ),
    ] = False,
    no_likelihoods: Annotated[
        bool,
        typer.Option(
            "--no-likelihoods",
            help="Leave out the bits per byte of the references, which take time.",
            rich_help_panel=BESIDE,
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Of the intervals.")] = 10_000,
    *,
    asking: Asking,
    server: Server,
) -> None:
    """Answer questions and compare with references: exact match, F1, citations, bits per byte.

    Intervals are over questions. One without an answer should be refused.
    """
    from retro_cli.evaluate.gold import GoldChunks
    from retro_cli.evaluate.qa import answer_all
    from retro_cli.evaluate.qa_report import report
    from retro_cli.exchange.questions import all_questions

    asked = all_questions(str(questions), limit)
    chosen = asking.answer_options(server)
    with ExitStack() as held:
        database, conditions = _conditions(held, db, asking, chosen, gold, closed_book)
        find = None if database is None else asking.find(database)
        handed = GoldChunks(database.retriever, asked) if gold and database is not None else None
        judged, seconds = timed(
            lambda progress: answer_all(
                asked, conditions, find, handed, asking.k,
                likelihoods=not no_likelihoods, progress=progress,
            )
        )  # fmt: skip
    about = {
        "reader": chosen.name, "model": chosen.model_name, "k": asking.k,
        "retriever": asking.retriever, "seconds": round(seconds, 1),
    }  # fmt: skip
    found = report(judged, about, seed, resamples)
    if console.state.json:
        console.record(found.to_json())
    else:
        _show(found)
    console.say(f"eval qa: {len(asked)} questions in {console.duration(seconds)}")


def _conditions(
    held: ExitStack, db: Path, asking: Asking, chosen: AnswerOptions, gold: bool, closed: bool
) -> tuple[Database | None, dict[str, Condition]]:
    """What is compared, the reader that was asked for first."""
    from retro_cli.asking.open import open_answerer
    from retro_cli.asking.writing import CLOSED_BOOK
    from retro_cli.evaluate.qa import CLOSED, GOLD, READER, Condition

    database, answerer = asking.opened(held, db, chosen)
    if gold and database is None:
        raise UsageError("a closed book reads no gold chunk", "leave --gold out")
    conditions = {READER: Condition(answerer)}
    if gold:
        conditions[GOLD] = Condition.handed(answerer)
    if closed:
        alone = replace(chosen, reader=CLOSED_BOOK)
        conditions[CLOSED] = Condition(open_answerer(alone, None))
    return database, conditions


def _show(found: QaReport) -> None:
    """A table of 80 columns: a row a measure, a column a condition."""
    from retro_cli.evaluate.qa_report import NOTES

    console.line(
        f"{console.number(found.questions)} questions, {console.number(found.answerable)} of them "
        "with an answer"
    )
    for name, values in found.measured.items():
        console.line()
        console.line(console.styled(f"{name:<28}{'':>8}   95 % interval", "1"))
        for measure, value in values.items():
            if value.value is not None:
                eval_table.row(measure, value)
    if found.against_gold is not None:
        console.line()
        eval_table.row("right, by right with gold", found.against_gold)
    console.line()
    for note in NOTES:
        render.paragraph(note, sys.stdout, "", "2")
