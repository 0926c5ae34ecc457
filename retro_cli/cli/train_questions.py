"""retro train-reader and retro train-encoder: models that learn from questions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, course_options, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.teaching.report import CourseReport

PANEL = "Model"


def register(app: typer.Typer) -> None:
    command(
        app, "train-reader",
        [
            "retro train-reader wiki.db --questions train.jsonl --model bart/ --out reader/",
            "retro train-reader wiki.db --objective realm --model bert/ --out filler/",
        ],
        PANEL,
        resumes=True,
    )(train_reader)  # fmt: skip
    command(
        app, "train-encoder",
        [
            "retro train-encoder wiki.db --questions train.jsonl --out encoder/",
            "retro train-encoder wiki.db --questions nq-train.tsv --out towers/ --two-towers",
        ],
        PANEL,
        resumes=True,
    )(train_encoder)  # fmt: skip


def train_reader(
    db: options.DatabaseArgument,
    out: course_options.Out,
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="To begin with, a name or a folder: sequence-to-sequence or causal; for realm, "
            "masked.",
        ),
    ],
    questions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Questions with their answers: JSON, JSON lines or TSV. (realm without any: "
            "masks the database's own chunks)",
        ),
    ] = None,
    objective: Annotated[str, typer.Option(help="rag-token, rag-sequence or realm.")] = "rag-token",
    k: Annotated[int, typer.Option("-k", min=1, help="Chunks to read for a question.")] = 5,
    doc_temperature: Annotated[
        float, typer.Option(help="Of the documents' prior; lower trusts retrieval more.")
    ] = 0.05,
    refresh: Annotated[
        int, typer.Option(min=1, help="realm: steps between two refreshes of the index.")
    ] = 100,
    query_encoder: options.QueryEncoder = "",
    run: course_options.Steps,
) -> None:
    """Teach a model to read what is retrieved for a question, and the encoder to retrieve it.

    With rag-token and rag-sequence the document encoder and the index stay as they are; with realm
    the document encoder learns too.
    """
    from transformers.utils import logging as transformers_logging

    from retro_cli.store.layout import Layout
    from retro_cli.teaching.reader import ReaderCourse
    from retro_cli.teaching.reader import train_reader as learn
    from retro_cli.training.course import CourseSettings

    transformers_logging.set_verbosity_error()
    course = ReaderCourse(
        Layout(db), questions, model, out, objective, k, doc_temperature, refresh,
        run.settings(CourseSettings()), query_encoder, run.device, run.overwrite,
    )  # fmt: skip
    course.layout.require()
    report, seconds = timed(lambda progress: learn(course, progress))
    _say("train-reader", report, seconds, _reader_next(db, out, objective))


def train_encoder(
    db: options.DatabaseArgument,
    questions: course_options.Questions,
    out: course_options.Out,
    *,
    encoder: Annotated[
        str,
        typer.Option(help="To begin with, a name or a folder. (default: the database's own)"),
    ] = "",
    hard: Annotated[
        int, typer.Option(min=0, help="Hard negatives of each question, found by BM25.")
    ] = 1,
    temperature: Annotated[
        float, typer.Option(help="That cosines are divided by in the loss.")
    ] = 0.05,
    two_towers: Annotated[
        bool, typer.Option("--two-towers", help="A query encoder apart from the document encoder.")
    ] = False,
    run: course_options.Steps,
) -> None:
    """Teach an encoder to find the chunks that answer questions (DPR): in-batch negatives, and
    BM25's best that hold no answer."""
    from transformers.utils import logging as transformers_logging

    from retro_cli.store.layout import Layout
    from retro_cli.teaching.encoder import EncoderCourse
    from retro_cli.teaching.encoder import train_encoder as learn
    from retro_cli.training.course import CourseSettings

    transformers_logging.set_verbosity_error()
    course = EncoderCourse(
        Layout(db), questions, out, encoder, hard, temperature, two_towers,
        run.settings(CourseSettings(batch=16)), run.device, run.overwrite,
    )  # fmt: skip
    course.layout.require()
    report, seconds = timed(lambda progress: learn(course, progress))
    place = out / "document-encoder" if two_towers else out
    more = f", then retro query {db} --query-encoder {out / 'query-encoder'}" if two_towers else ""
    _say("train-encoder", report, seconds, _embed_next(db, place) + more)


def _reader_next(db: Path, out: Path, objective: str) -> str:
    if objective == "realm":
        return _embed_next(db, out / "document-encoder")
    return f'retro generate {db} "..." --reader {objective} --model {out}'


def _embed_next(db: Path, encoder: Path) -> str:
    return f"retro embed {db} --encoder {encoder}, then retro index {db}"


def _say(stage: str, report: CourseReport, seconds: float, following: str) -> None:
    outcome, retrieval = report.outcome, report.retrieval
    if console.state.json:
        value = asdict(report)
        if outcome is not None:
            losses = value["outcome"].pop("losses")
            value["outcome"]["last_loss"] = losses[-1] if losses else None
        if retrieval is not None:
            value["retrieval"]["apart"] = retrieval.apart
        console.record({"stage": stage, "seconds": round(seconds, 3), **value})
        return
    if outcome is not None:
        console.say(
            f"{stage}: {outcome.steps_now:,} steps on {counted(report.questions, 'question')} in "
            f"{console.duration(seconds)} ({outcome.questions_per_second:,.1f} questions/s); last "
            f"loss {outcome.losses[-1]:.3f}"
        )
        if retrieval is not None:
            console.say(f"{stage}: {retrieval.words()}")
        console.say(f"{stage}: {report.out} holds what was learned, metrics.jsonl and loss.svg")
    console.say(f"Next: {following}")
