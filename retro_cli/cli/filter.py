"""retro filter: take sources, documents and chunks out of every answer, with proof and undo."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, filter_rule, filter_scores, options, render
from retro_cli.cli.command import command
from retro_cli.cli.filter_show import example_values, print_examples
from retro_cli.cli.run import timed
from retro_cli.errors import IntegrityError
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.filters.rules import Rule

LOOK, CHANGE, SCORES = "Look", "Rules", "Scores"

Number = Annotated[int, typer.Argument(metavar="N", min=1, help="The rule's number.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Take toxic sources, documents and chunks out of every answer: score them, add rules, "
        "prove that they hold, undo them.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    app.add_typer(group, name="filter", rich_help_panel="Keep")
    filter_scores.register(group, SCORES)
    filter_rule.register(group, CHANGE)
    command(group, "list", ["retro filter list wiki.db", "retro filter list wiki.db --json"], LOOK)(
        list_rules
    )
    command(
        group,
        "show",
        ["retro filter show wiki.db 1", "retro filter show wiki.db 1 --examples 20 --json"],
        LOOK,
    )(show)
    command(
        group,
        "undo",
        ["retro filter undo wiki.db 1", "retro filter undo wiki.db 1 --lift"],
        CHANGE,
        environment=False,
    )(undo)
    command(
        group,
        "verify",
        ["retro filter verify wiki.db", "retro filter verify wiki.db --sample 1000 --json"],
        LOOK,
    )(verify)


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
    if console.narrow():
        console.line(head.rstrip())
        plain = len(render.INDENT)
        head = render.INDENT
    said = render.shortened(console.clean(rule.describe()), console.width() - plain)
    console.line(head + said)
    render.paragraph(rule.reason, sys.stdout, " " * plain, "2")


def show(
    db: options.DatabaseArgument,
    number: Number,
    examples: Annotated[int, typer.Option(min=0, help="Chunks to show.")] = 3,
) -> None:
    """Show a rule, how far it reaches now, and some of what it takes."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.reach import look_at_rule

    rule, rows, chunks = look_at_rule(Layout(db), number, examples)
    if console.state.json:
        value = {**rule.to_json(), "takes_chunks": rows}
        console.record({**value, "examples": example_values(chunks)})
        return
    changed = f", {rule.changed}" if rule.changed else ""
    console.line(console.styled(f"rule {rule.number}, {rule.state}{changed}", "1"))
    render.paragraph(rule.describe(), sys.stdout)
    console.line(console.styled("because", "2"))
    render.paragraph(rule.reason, sys.stdout)
    console.paragraph(f"since {rule.created}, {counted(rows, 'chunk')} of live documents")
    print_examples(chunks)


def undo(
    db: options.FolderArgument,
    number: Number,
    lift: Annotated[
        bool,
        typer.Option(
            "--lift", help="Undo a purged rule for what was chunked since, and what will be."
        ),
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
        f"filter: rule {rule.number} is undone, {counted(back, 'chunk is', 'chunks are')} back "
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
            f"{db}: {counted(len(proof.leaks), 'leak')}",
            f"run retro index {db}, which applies every rule again, and verify again",
        )
