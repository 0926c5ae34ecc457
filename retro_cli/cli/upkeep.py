"""retro compact, history and rollback: the life of the index."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.wording import agreed, counted, listed

PANEL = "Keep"


def register(app: typer.Typer) -> None:
    command(
        app,
        "compact",
        ["retro compact wiki.db", "retro compact wiki.db --purge --yes"],
        PANEL,
        environment=False,
        resumes=True,
    )(compact)
    command(app, "history", ["retro history wiki.db", "retro history wiki.db --json"], PANEL)(
        history
    )
    command(
        app,
        "rollback",
        ["retro rollback wiki.db 3", "retro rollback wiki.db 3 --with-filters"],
        PANEL,
        environment=False,
    )(rollback)


def compact(
    db: options.FolderArgument,
    max_dead: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Rewrite what holds a larger share of dead rows."),
    ] = 0.2,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge", help="Also remove the text of all that the rules take. No undo after that."
        ),
    ] = False,
    keep_generations: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Generations to keep for rollback, from now on: the number lasts. (at first: 3)",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a purge.")] = False,
) -> None:
    """Take dead rows out of the index and off the disk, while queries go on."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.compact import compact as run

    report, seconds = timed(
        lambda progress: run(
            Layout(db),
            max_dead=max_dead,
            purge=purge,
            yes=yes,
            keep_generations=keep_generations,
            progress=progress,
        )
    )
    if console.state.json:
        console.record({**asdict(report), "seconds": round(seconds, 3)})
        return
    done = report.rewritten
    console.say(
        f"compact: {counted(done.rows, 'chunk')} blanked in "
        f"{counted(done.parts_rewritten, 'part')}, {counted(done.parts_gone, 'part')} gone, "
        f"{counted(report.segments, 'segment')} rewritten ({console.duration(seconds)})"
    )
    if report.rules_ended:
        removed, rules = report.removed, report.rules_ended
        console.say(
            f"compact: {counted(removed, 'chunk')} taken by {listed('rule', rules)} "
            f"{agreed(removed, 'is', 'are')} gone for good; "
            f"{agreed(len(rules), 'the rule goes', 'the rules go')} on holding, without undo"
        )
    console.say(
        f"compact: {console.size(report.bytes_before)} -> {console.size(report.bytes_after)}, "
        f"generation {report.generation}, {report.generations} kept"
    )


def history(db: options.DatabaseArgument) -> None:
    """List the generations that are kept, and what made each."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.history import history as read_history

    found = read_history(Layout(db))
    if console.state.json:
        for entry in found:
            console.record(asdict(entry))
        return
    if not found:
        console.say("nothing is indexed yet")
        return
    console.line(f"   {'gen':>4} {'made (UTC)':<16} {'chunks':>11} {'segm':>4} {'rules':>5}  by")
    for entry in found:
        mark = console.styled("->", "32") if entry.current else "  "
        made = entry.made[:16].replace("T", " ")
        rules = str(len(entry.rules)) if entry.rules else ""
        head = f" {entry.number:>4} {made:<16} {entry.rows:>11,} {entry.segments:>4} {rules:>5}  "
        room = len(head) + 2
        indent = room if room + 24 <= console.width() else 4
        cause = console.folded(console.clean(entry.cause), indent)
        first = cause.pop(0) if cause and indent == room else ""
        console.line((mark + head + first).rstrip())
        for other in cause:
            console.line(" " * indent + other)


def rollback(
    db: options.FolderArgument,
    generation: Annotated[
        int, typer.Argument(metavar="GEN", min=1, help="A number that retro history prints.")
    ],
    with_filters: Annotated[
        bool,
        typer.Option("--with-filters", help="Bring back that generation's rules as well."),
    ] = False,
) -> None:
    """Answer from an older generation again. Today's filter rules stay in force."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.history import rollback as run

    made, seconds = timed(
        lambda progress: run(Layout(db), generation, with_filters=with_filters, progress=progress)
    )
    if console.state.json:
        console.record({"generation": made.number, "from": generation, "rows": made.rows})
        return
    console.say(
        f"rollback: generation {made.number} is what {generation} was, "
        f"{counted(made.rows, 'chunk')} ({console.duration(seconds)}); "
        "retro index goes forward again"
    )
