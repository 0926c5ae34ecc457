"""retro filter: take sources, documents and chunks out of every answer, with proof and undo."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retro_cli.cli import console, filter_rule, options, render
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.errors import IntegrityError

if TYPE_CHECKING:
    from retro_cli.filters.rules import Rule
    from retro_cli.upkeep.filtering import Reach

LOOK, CHANGE, SCORES = "Look", "Rules", "Scores"

Number = Annotated[int, typer.Argument(metavar="N", min=1, help="The rule's number.")]
Threshold = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="The score from which a chunk counts as toxic.")
]
Table = Annotated[str, typer.Option("--scores", help="The score table to read.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Take toxic sources, documents and chunks out of every answer: score them, add rules, "
        "prove that they hold, undo them.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    app.add_typer(group, name="filter", rich_help_panel="Keep")
    command(
        group, "score", ["retro filter score wiki.db", "retro filter score wiki.db --scorer words"],
        SCORES,
    )(score)  # fmt: skip
    command(
        group,
        "train-scorer",
        ["retro filter train-scorer wiki.db labelled.csv --out mine.safetensors"],
        SCORES,
    )(train_scorer)
    command(
        group,
        "sources",
        ["retro filter sources wiki.db", "retro filter sources wiki.db --html scores.html"],
        SCORES,
    )(sources)
    filter_rule.register(group, CHANGE)
    command(group, "list", ["retro filter list wiki.db", "retro filter list wiki.db --json"], LOOK)(
        list_rules
    )
    command(group, "show", ["retro filter show wiki.db 1"], LOOK)(show)
    command(group, "undo", ["retro filter undo wiki.db 1"], CHANGE, environment=False)(undo)
    command(
        group,
        "verify",
        ["retro filter verify wiki.db", "retro filter verify wiki.db --sample 1000 --json"],
        LOOK,
    )(verify)


def score(
    db: options.DatabaseArgument,
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
            progress=progress,
        )
    )
    if console.state.json:
        value = {"scores": report.table.name, "scored": report.rows_scored}
        console.record({**value, "kept": report.rows_kept, "seconds": round(seconds, 3)})
        return
    rate = report.rows_scored / max(seconds, 1e-6)
    console.say(
        f"score: {report.rows_scored:,} chunks in {console.duration(seconds)} ({rate:,.0f}/s), "
        f"{report.rows_kept:,} were scored before; the table is called {report.table.name}"
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
        f"train-scorer: {rows:,} texts in {console.duration(seconds)}; ROC AUC "
        f"{probe.about.auc:.3f} on a fifth that was held out"
    )
    console.line(f"retro filter score {db} --scorer probe:{out}")


def sources(
    db: options.DatabaseArgument,
    scores: Table = "default",
    threshold: Threshold = 0.5,
    show_worst: Annotated[
        bool, typer.Option("--show", help="Also show each source's worst chunk.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Sources in the table.")] = 40,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the table and the histogram.")
    ] = None,
) -> None:
    """What the scores say of each source, the worst first."""
    from retro_cli.cli import filter_page
    from retro_cli.filters.sources import histogram, source_scores
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.filtering import open_filtering

    look = open_filtering(Layout(db))
    values = look.corpus.scores(scores)
    found = source_scores(look.corpus, look.excluded.rows, values, threshold)
    worst = {c.id: c for c in look.read([s.worst for s in found[:limit]] if show_worst else [])}
    if html is not None:
        filter_page.write(html, str(db), found, histogram(look.corpus, values), threshold)
        console.say(f"wrote {html}")
        if not console.state.json:
            return
    if console.state.json:
        for entry in found:
            console.record(
                {
                    **asdict(entry),
                    **({"text": worst[entry.worst].text} if entry.worst in worst else {}),
                }
            )
        return
    filter_page.table(found[:limit], worst)
    if len(found) > limit:
        console.line(f"and {len(found) - limit:,} more sources")
    console.line()
    filter_page.bars(histogram(look.corpus, values), threshold)


def list_rules(db: options.DatabaseArgument) -> None:
    """Every rule there ever was, in order."""
    from retro_cli.filters.ledger import load_ledger
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.apply import in_force

    layout = Layout(db)
    layout.require()
    ledger = load_ledger(layout)
    for rule in ledger.rules:
        if console.state.json:
            console.record(rule.to_json())
        else:
            _print_rule(rule)
    if not ledger.rules:
        console.say("there are no rules")
    elif not in_force(layout):
        console.say(f"not all of this is in force yet: run retro index {db}")


def _print_rule(rule: Rule) -> None:
    code = {"active": "32", "undone": "2", "purged": "31"}[rule.state]
    when = rule.created[:10]
    head = f"{rule.number:>3}  {console.styled(rule.state.ljust(7), code)} {when}  "
    plain = len(f"{rule.number:>3}  {rule.state:<7} {when}  ")
    room = max(20, console.width() - plain)
    console.line(head + render.shortened(console.clean(rule.describe()), room))
    render.paragraph(rule.reason, sys.stdout, " " * plain, "2")


def show(
    db: options.DatabaseArgument,
    number: Number,
    examples: Annotated[int, typer.Option(min=0, help="Chunks to show.")] = 3,
) -> None:
    """Show a rule, how far it reaches now, and some of what it takes."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.filtering import look_at_rule

    rule, rows, chunks = look_at_rule(Layout(db), number, examples)
    if console.state.json:
        texts = [{"chunk": c.id, "source": c.source, "text": c.text} for c in chunks]
        console.record({**rule.to_json(), "takes_chunks": rows, "examples": texts})
        return
    changed = f", {rule.changed}" if rule.changed else ""
    console.line(console.styled(f"rule {rule.number}, {rule.state}{changed}", "1"))
    render.paragraph(rule.describe(), sys.stdout)
    console.line(console.styled("because", "2"))
    render.paragraph(rule.reason, sys.stdout)
    console.line(f"since {rule.created}, {rows:,} chunks of live documents")
    print_examples(chunks)


def print_examples(chunks: Any) -> None:
    for chunk in chunks:
        console.line()
        name = render.shortened_path(console.clean(chunk.source), console.width() - 16)
        console.line(console.styled(f"chunk {chunk.id}, {name}", "36"))
        render.paragraph(chunk.text, sys.stdout)


def undo(
    db: options.DatabaseArgument,
    number: Number,
    lift: Annotated[
        bool,
        typer.Option("--lift", help="Undo a purged rule for what is chunked from now on."),
    ] = False,
) -> None:
    """Undo a rule: what no other rule takes comes back at once."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.filtering import undo_rule

    (rule, back, generation), seconds = timed(
        lambda progress: undo_rule(Layout(db), number, lift=lift, progress=progress)
    )
    if console.state.json:
        number_now = generation.number if generation else None
        console.record({"undone": rule.number, "chunks_back": back, "generation": number_now})
        return
    console.say(
        f"filter: rule {rule.number} is undone, {back:,} chunks are back "
        f"({console.duration(seconds)})"
    )


def verify(
    db: options.DatabaseArgument,
    sample: Annotated[int, typer.Option(min=0, help="Removed chunks to search for.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
) -> None:
    """Prove that what the rules take is gone: by structure, then by search. Exits 4 on a leak."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.proof import prove

    proof, seconds = timed(lambda progress: prove(Layout(db), sample, seed, progress))
    if console.state.json:
        console.record(asdict(proof))
    else:
        for text in proof.lines():
            render.paragraph(text, sys.stdout, "")
        console.say(f"({console.duration(seconds)})")
        for text in proof.leaks:
            console.line(f"{console.styled('leak:', '1;31')} {console.clean(text)}")
    if proof.leaks:
        raise IntegrityError(
            f"{db}: {len(proof.leaks)} leaks",
            f"run retro index {db}, which applies every rule again, and verify again",
        )


def reach_lines(reach: Reach) -> list[str]:
    """What a rule takes, for people."""
    lines = [
        f"{reach.chunks:,} of {reach.chunks_before:,} chunks, {reach.documents:,} of "
        f"{reach.documents_before:,} documents whole, {reach.sources:,} of "
        f"{reach.sources_before:,} sources whole"
    ]
    if reach.already:
        lines.append(f"{reach.already:,} more are kept out by older rules already")
    return lines
