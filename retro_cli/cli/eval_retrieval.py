"""retro eval retrieval: how well a database, or a run, finds what was judged relevant."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retro_cli.cli import console, eval_retrieval_table, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.errors import UsageError

if TYPE_CHECKING:
    from retro_cli.exchange.judgements import Judgements
    from retro_cli.exchange.questions import Question
    from retro_cli.exchange.runs import Run
    from retro_cli.query.search import Search


def register(group: typer.Typer, panel: str) -> None:
    command(
        group,
        "retrieval",
        [
            "retro eval retrieval wiki.db --queries queries.jsonl --qrels qrels/test.tsv",
            "retro eval retrieval wiki.db --queries q.jsonl --qrels q.tsv --retriever hybrid",
            "retro eval retrieval --run mine.trec --qrels qrels.txt --against theirs.trec",
        ],
        panel,
    )(retrieval)


def retrieval(
    db: Annotated[
        Path | None,
        typer.Argument(
            parser=options.folder,
            metavar="[DB]",
            help="The retrieval database; none with --run.",
            show_default=False,
        ),
    ] = None,
    qrels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Which documents answer which query, as BEIR, TREC or MS MARCO write it. "
            "(default: what the queries themselves say, as in KILT)",
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Queries: JSON lines or a list, id<TAB>text, or lines of text."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="FILE", help="Score this TREC or MS MARCO run; nothing is looked up."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare with this run, query by query."),
    ] = None,
    cuts: Annotated[
        str, typer.Option("-k", metavar="K,K", help="Measure the first so many documents.")
    ] = "1,5,10,100",
    binary: Annotated[
        bool, typer.Option("--binary", help="In nDCG every relevant document gains 1.")
    ] = False,
    relevant_from: Annotated[
        int, typer.Option(min=1, help="The relevance from which a document is relevant.")
    ] = 1,
    depth: Annotated[int, typer.Option(min=1, help="Documents to look up for each query.")] = 100,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first queries.")] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out judged queries that are not in --queries.")
    ] = False,
    per_query: Annotated[
        bool, typer.Option("--per-query", help="Also every query's own measures.")
    ] = False,
    save_run: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write what was found, as a TREC run.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Only these sources, by name or glob; may be repeated."),
    ] = None,
    where: Annotated[str, typer.Option(help="Only such documents, as in retro query.")] = "",
    *,
    searching: options.Searching,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Of the intervals.")] = 10_000,
) -> None:
    """nDCG, recall, precision, hits, MRR and MAP, as trec_eval computes them, with intervals.

    Documents are ranked by their best chunk. A query that finds nothing counts as 0.
    """
    from retro_cli.evaluate.retrieval import Scoring
    from retro_cli.evaluate.retrieval_report import report_retrieval
    from retro_cli.exchange.runs import read_run
    from retro_cli.store.atomic import check_output

    if (db is None) == (run is None):
        raise UsageError("name a database, or a run with --run", "retro eval retrieval --help")
    scoring = Scoring(
        tuple(options.whole_numbers("-k", cuts)), relevant_from, binary, seed, resamples
    )
    scoring.check()
    if save_run is not None:
        check_output(save_run)
    begun = time.monotonic()
    asked = _asked(queries, qrels, limit, partial)
    others = None if against is None else (against, _read(read_run(against), against))
    if db is None:
        found, settings, said = _given(run or "", asked)
    else:
        search = searching.search(_level(searching.level))
        search.check()
        among = {"source": source or [], "where": where}
        found, settings, said = _looked_up(db, asked, max(depth, *scoring.cuts), search, among)
    notes = (*asked.notes, *said)
    report = report_retrieval(
        str(db or run), found, asked.judgements, others, scoring, settings, notes
    )
    if save_run is not None:
        _save(save_run, found)
    if console.state.json:
        seconds = round(time.monotonic() - begun, 3)
        console.record({**report.to_json(per_query), "seconds": seconds})
    else:
        eval_retrieval_table.show(report, per_query)


def _level(asked: str | None) -> str:
    if asked not in (None, "doc"):
        raise UsageError(f"--level {asked}", "documents are judged: leave --level out")
    return "doc"


@dataclass(frozen=True)
class _Asked:
    """questions: those that are judged, none where there are only qrels."""

    questions: list[Question]
    judgements: Judgements
    notes: tuple[str, ...]


def _asked(queries: str | None, qrels: str | None, limit: int | None, partial: bool) -> _Asked:
    """Raises UsageError where either is missing or empty, or the two do not belong together."""
    from retro_cli.evaluate.retrieval import judged_questions
    from retro_cli.exchange.judgements import judgements_of, read_judgements
    from retro_cli.exchange.questions import all_questions

    questions = [] if queries is None else all_questions(queries)
    judgements = judgements_of(questions) if qrels is None else read_judgements(qrels)
    if not judgements:
        raise UsageError(
            "nothing says which documents are relevant", "name the judgements with --qrels FILE"
        )
    if not questions:
        return _Asked([], judgements, ())
    some, notes = judged_questions(questions, judgements, partial=partial)
    some = some[:limit]
    return _Asked(some, {each.id: judgements[each.id] for each in some}, tuple(notes))


def _given(name: str, asked: _Asked) -> tuple[Run, dict[str, Any], list[str]]:
    """A run from a file."""
    from retro_cli.evaluate.retrieval import judged_run
    from retro_cli.exchange.runs import read_run

    found = _read(read_run(name), name)
    return found, {"run": name}, judged_run(found, asked.judgements, name)


def _read(read: tuple[Run, int], name: str) -> Run:
    run, again = read
    if again:
        console.say(f"{name} names documents twice {again:,} times: the best score counts")
    return run


def _looked_up(
    db: Path, asked: _Asked, depth: int, search: Search, among: dict[str, Any]
) -> tuple[Run, dict[str, Any], list[str]]:
    """What the database finds."""
    from retro_cli.database import Database
    from retro_cli.evaluate.retrieval import note_documents, run_questions

    if not asked.questions:
        raise UsageError("there is nothing to look up", "name the queries with --queries FILE")
    with Database.open(db) as database:
        notes = note_documents(asked.judgements, database.retriever.document_names())
        generation = database.retriever.generation
        settings = {
            "generation": generation.number, "encoder": generation.encoder.name, "depth": depth,
            **asdict(search), **among,
        }  # fmt: skip
        find = database.finder(search, **among)
        found, _ = timed(
            lambda progress: run_questions(
                lambda texts: find(texts, depth), asked.questions, progress
            )
        )
    return found, settings, notes


def _save(path: Path, run: Run) -> None:
    from retro_cli.exchange.runs import trec_lines
    from retro_cli.store.atomic import write_bytes

    lines = (line for query, scores in run.items() for line in trec_lines(query, scores))
    write_bytes(path, "".join(lines).encode("utf-8", "surrogatepass"))
    console.say(f"wrote {path}")
