"""retro filter add: one rule from the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.errors import UsageError

NAMES, CONDITIONS, HOW = "What it names", "What it must meet besides", "How it holds"


def register(group: typer.Typer, panel: str) -> None:
    command(
        group,
        "add",
        [
            "retro filter add wiki.db --source 'forum/*' --reason 'insults'",
            "retro filter add wiki.db --min-toxicity 0.8 --reason toxic --dry-run",
        ],
        panel,
        environment=False,
    )(add)


def add(
    db: options.FolderArgument,
    reason: Annotated[str, typer.Option(help="Why; the ledger keeps it.", show_default=False)] = "",
    source: Annotated[
        list[str] | None, typer.Option(help="Sources, by name or glob.", rich_help_panel=NAMES)
    ] = None,
    doc: Annotated[
        list[str] | None, typer.Option(help="Documents, by name or glob.", rich_help_panel=NAMES)
    ] = None,
    chunk: Annotated[
        list[int] | None, typer.Option(help="Chunks, by id.", rich_help_panel=NAMES)
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            help='Names from a file: a source glob a line, or {"source"|"document"|"chunk": ...}.',
            rich_help_panel=NAMES,
        ),
    ] = None,
    where: Annotated[
        str,
        typer.Option(help="A condition on the document, as in query.", rich_help_panel=CONDITIONS),
    ] = "",
    match: Annotated[
        str, typer.Option(help="A regular expression in the text.", rich_help_panel=CONDITIONS)
    ] = "",
    min_toxicity: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="The lowest score.", rich_help_panel=CONDITIONS),
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            help="What the score is of: chunk, document (its highest chunk) or source (the mean). "
            "(default: chunk)",
            rich_help_panel=CONDITIONS,
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="The score table to read. (default: default)", rich_help_panel=CONDITIONS
        ),
    ] = None,
    only: Annotated[
        bool,
        typer.Option("--only", help="Keep out all but what this takes.", rich_help_panel=HOW),
    ] = False,
    copies: Annotated[
        str,
        typer.Option(help="Also take copies elsewhere: none, exact or near.", rich_help_panel=HOW),
    ] = "none",
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Only for the chunks there are now, not for later ones.",
            rich_help_panel=HOW,
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, change nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Even if it takes nothing, or everything.")
    ] = False,
) -> None:
    """Keep chunks out of every answer, from now on, also those that come later.

    A rule takes what any of its names names, if it meets every condition.
    """
    from retro_cli.cli.filter_show import example_values, print_examples, reach_lines
    from retro_cli.filters.ledger import load_ledger
    from retro_cli.filters.rules import COPIES, LEVELS, Rule, Toxicity
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.filtering import add_rule
    from retro_cli.upkeep.reach import open_filtering, passages

    if not reason.strip():
        raise UsageError("a rule needs a reason", "add --reason 'why'")
    if min_toxicity is not None and not 0 <= min_toxicity <= 1:  # NaN among them
        raise UsageError(f"--min-toxicity {min_toxicity}", "a score lies between 0 and 1")
    _one_of("--level", level or LEVELS[0], LEVELS)
    if min_toxicity is None and (scores or level):
        raise UsageError("--scores and --level say nothing alone", "add --min-toxicity 0.8")
    level, scores = level or LEVELS[0], scores or "default"
    _one_of("--copies", copies, COPIES)
    layout = Layout(db)
    sources, documents, chunks = _from_file(from_file) if from_file else ([], [], [])
    rule = Rule(
        number=load_ledger(layout).next_number,
        reason=reason.strip(),
        sources=(*(source or []), *sources),
        documents=(*(doc or []), *documents),
        passages=passages(layout, [*(chunk or []), *chunks]),
        where=where,
        match=match,
        toxicity=None if min_toxicity is None else Toxicity(scores, min_toxicity, level),
        only=only,
        copies=copies,
    )
    if dry_run:
        look = open_filtering(layout)
        look.check(rule)
        reach = look.reach(rule)
        if console.state.json:
            examples = example_values(reach.examples)
            value = {"dry_run": True, "rule": rule.to_json(), **asdict(reach)}
            console.record({**value, "examples": examples})
            return
        console.paragraph(f"would take {reach_lines(reach)[0]}")
        for text in reach_lines(reach)[1:]:
            console.paragraph(text)
        print_examples(reach.examples)
        return
    from retro_cli.filters.rules import PURGED

    (added, reach, generation), seconds = timed(
        lambda progress: add_rule(layout, rule, once=once, yes=yes, progress=progress)
    )
    if console.state.json:
        number = generation.number if generation else None
        value = {"rule": added.to_json(), "generation": number, **asdict(reach)}
        console.record({**value, "examples": example_values(reach.examples)})
        return
    console.say(f"filter: rule {added.number} takes {reach_lines(reach)[0]}")
    for text in reach_lines(reach)[1:]:
        console.say(f"filter: {text}")
    effect = "in force" if generation else "in force from the first retro index on"
    way_back = f"retro filter undo {db} {added.number}"
    if added.state == PURGED:
        way_back = f"none, its text is gone; for new text: {way_back} --lift"
    console.say(f"filter: {effect} ({console.duration(seconds)}); undo: {way_back}")


def _from_file(path: Path) -> tuple[list[str], list[str], list[int]]:
    """Sources, documents and chunks that a file names."""
    from retro_cli.store.named import read_named

    lines = read_named(path, "one name a line, in UTF-8").splitlines()
    found: dict[str, list[Any]] = {"source": [], "document": [], "chunk": []}
    for number, line in enumerate(lines, 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        kind, value = _named(words, f"{path}, line {number}")
        found[kind].append(value)
    if not any(found.values()):
        raise UsageError(f"{path} names nothing", "one name a line")
    return found["source"], found["document"], found["chunk"]


def _named(words: str, where: str) -> tuple[str, str | int]:
    if not words.startswith("{"):
        return "source", words
    hint = 'write {"source": ...}, {"document": ...} or {"chunk": ...}'
    try:
        value = json.loads(words)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", hint) from error
    kinds = ("source", "document", "chunk")
    if isinstance(value, dict) and len(value) == 1:
        kind, name = next(iter(value.items()))
        if kind == "chunk" and type(name) is not int:
            raise UsageError(f"{where}: {name!r} is no chunk", "a chunk is named by its id")
        if kind in kinds and isinstance(name, str | int) and not isinstance(name, bool):
            return kind, name if kind == "chunk" else str(name)
    raise UsageError(f"{where}: not one name", hint)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} {value} is not known", f"choose one of {', '.join(choices)}")
