"""retro filter score, train-scorer and sources: what is toxic, by the look of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, filter_page, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.errors import UsageError
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.filters.scores import ScoreReport
    from retro_cli.filters.sources import Floats
    from retro_cli.upkeep.reach import Filtering

IN_TABLE = 40  # sources or documents, unless told otherwise
READ_AT_ONCE = 1000  # documents' worst chunks

Threshold = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="The score from which a chunk counts as toxic.")
]
Table = Annotated[
    str,
    typer.Option("--scores", help="The score table to read. (default: the scorer's, or default)"),
]


def register(group: typer.Typer, panel: str) -> None:
    command(
        group, "score", ["retro filter score wiki.db", "retro filter score wiki.db --scorer words"],
        panel, resumes=True,
    )(score)  # fmt: skip
    command(
        group,
        "train-scorer",
        [
            "retro filter train-scorer wiki.db labelled.csv",
            "retro filter train-scorer wiki.db labelled.csv --out mine.safetensors",
        ],
        panel,
    )(train_scorer)
    command(
        group,
        "sources",
        [
            "retro filter sources wiki.db --score --show",
            "retro filter sources wiki.db --by document --limit 20",
            "retro filter sources wiki.db --html scores.html",
        ],
        panel,
    )(sources)


def score(
    db: options.FolderArgument,
    scorer: Annotated[
        str,
        typer.Option(
            help="default, words, words:FILE, profanity, probe:FILE (see train-scorer) or "
            "hf:FOLDER_OR_NAME."
        ),
    ] = "default",
    name: Annotated[str, typer.Option("--as", help="What to call the table of scores.")] = "",
    toxic_label: Annotated[
        str, typer.Option(help="Of an hf: model, the label that means toxic.")
    ] = "",
    download: options.Download = False,
    *,
    running: options.Running,
) -> None:
    """Give every chunk a toxicity score, once. Thresholds come later and score nothing again."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.scoring import score_database

    report, seconds = timed(
        lambda progress: score_database(
            Layout(db),
            scorer,
            name=name,
            toxic_label=toxic_label,
            allow_download=download,
            where=running.where(),
            progress=progress,
        )
    )
    if console.state.json:
        value = {"scores": report.table.name, "scored": report.rows_scored}
        console.record({**value, "kept": report.rows_kept, "seconds": round(seconds, 3)})
        return
    _say_scored(report, seconds)


def _say_scored(report: ScoreReport, seconds: float) -> None:
    rate = report.rows_scored / max(seconds, 1e-6)
    console.say(
        f"score: {counted(report.rows_scored, 'chunk')} in {console.duration(seconds)} "
        f"({rate:,.0f}/s), {report.rows_kept:,} scored before; "
        f"the table is called {report.table.name}"
    )


def train_scorer(
    db: options.DatabaseArgument,
    labelled: Annotated[
        Path, typer.Argument(metavar="CSV", help="Columns text and label (0 harmless, 1 toxic).")
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("scorer.safetensors"),
) -> None:
    """Train a scorer of your own on the database's frozen encoder: a probe, in seconds."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.training import train_from_csv

    (probe, rows), seconds = timed(
        lambda progress: train_from_csv(Layout(db), labelled, out, progress)
    )
    if console.state.json:
        console.record({"scorer": str(out), "rows": rows, "auc": probe.about.auc})
        return
    console.say(
        f"train-scorer: {counted(rows, 'text')} in {console.duration(seconds)}; ROC AUC "
        f"{probe.about.auc:.3f} on a fifth that was held out"
    )
    console.line(f"retro filter score {db} --scorer probe:{out}")


def sources(
    db: options.DatabaseArgument,
    scores: Table = "",
    score_first: Annotated[
        bool,
        typer.Option("--score", help="First score what has no score yet, as retro filter score."),
    ] = False,
    scorer: Annotated[
        str,
        typer.Option(help="The scorer whose table this is. (default: the table's own, or default)"),
    ] = "",
    download: options.Download = False,
    by: Annotated[
        str, typer.Option(help="What the scores are gathered by: source or document.")
    ] = "source",
    threshold: Threshold = 0.5,
    show_worst: Annotated[
        bool, typer.Option("--show", help="Also show each one's worst chunk.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many to show. (default: 40 in the table, with --json all of them)"
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the table and the histogram.")
    ] = None,
) -> None:
    """What the scores say of each source, or document, the worst first."""
    from retro_cli.filters.score_table import table_name
    from retro_cli.filters.sources import histogram, source_scores
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.reach import open_filtering
    from retro_cli.upkeep.scoring import ensure_scores

    if by not in ("source", "document"):
        raise UsageError(f"--by {by}", "choose source or document")
    if by == "document" and html is not None:
        raise UsageError("the page is of sources", "leave --by document or --html out")
    layout = Layout(db)
    if score_first:
        report, seconds = timed(
            lambda progress: ensure_scores(
                layout, scorer, name=scores, allow_download=download, progress=progress
            )
        )
        _say_scored(report, seconds)
    look = open_filtering(layout)
    values = look.corpus.scores(scores or table_name(scorer or "default"))
    if by == "document":
        _documents(look, values, threshold, limit, show_worst)
        return
    found = source_scores(look.corpus, look.excluded.rows, values, threshold)
    if html is not None:
        filter_page.write(html, str(db), found, histogram(look.corpus, values), threshold)
        console.say(f"wrote {html}")
        if not console.state.json:
            return
    shown = found[: limit if limit or console.state.json else IN_TABLE]
    worst = {c.id: c for c in look.read([s.worst for s in shown] if show_worst else [])}
    if console.state.json:
        for entry in shown:
            text = {"text": worst[entry.worst].text} if entry.worst in worst else {}
            console.record({"source": entry.source, **asdict(entry), **text})
        return
    filter_page.table(shown, worst)
    if len(found) > len(shown):
        console.line(f"and {counted(len(found) - len(shown), 'more source')}")
    console.line()
    filter_page.show_bars(histogram(look.corpus, values), threshold)


def _documents(
    look: Filtering, values: Floats, threshold: float, limit: int | None, show: bool
) -> None:
    from retro_cli.filters.sources import document_scores

    most = limit or (None if console.state.json else IN_TABLE)
    found, count = document_scores(look.corpus, look.excluded.rows, values, threshold, most)
    for first in range(0, len(found), READ_AT_ONCE):
        some = found[first : first + READ_AT_ONCE]
        worst = {chunk.id: chunk for chunk in look.read([entry.worst for entry in some])}
        if not console.state.json:
            filter_page.documents(some, worst, show)
            continue
        for entry in some:
            chunk = worst[entry.worst]
            value = {"document": chunk.document, "source": chunk.source, **asdict(entry)}
            del value["number"]
            console.record({**value, **({"text": chunk.text} if show else {})})
    if not console.state.json and count > len(found):
        console.line(f"and {counted(count - len(found), 'more document')}")
