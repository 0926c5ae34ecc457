"""retro status and verify: is the database what it should be?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.errors import EXIT_WORK_FOUND, IntegrityError
from retro_cli.wording import counted

PANEL = "Look"
_COLOURS = {"ok": "32", "stale": "33", "missing": "31"}


def register(app: typer.Typer) -> None:
    command(
        app,
        "status",
        ["retro status wiki.db", "retro status wiki.db --check || retro index wiki.db"],
        PANEL,
    )(status)
    command(app, "verify", ["retro verify wiki.db", "retro verify wiki.db --sample 256"], PANEL)(
        verify
    )


def status(
    db: options.DatabaseArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 3 if anything is stale or missing.")
    ] = False,
) -> None:
    """Say what is there, what is stale and why."""
    from retro_cli.status import status as read_status
    from retro_cli.store.here import shown_name
    from retro_cli.store.layout import Layout

    found = read_status(Layout(db))
    if console.state.json:
        console.record(
            {
                "settings": asdict(found.settings),
                "bytes": found.bytes,
                "stages": [asdict(stage) for stage in found.stages],
            }
        )
    else:
        console.line(f"{console.styled(shown_name(db), '1')}  {console.size(found.bytes)}")
        for stage in found.stages:
            _print_stage(stage)
    if check and found.work_waiting:
        raise typer.Exit(EXIT_WORK_FOUND)


def _print_stage(stage: Any) -> None:
    state = console.styled(stage.state.ljust(7), _COLOURS[stage.state])
    console.line(f"\n{console.styled(stage.name, '1')}  {state} {stage.why}")
    if stage.todo:
        console.line(f"  do: {stage.todo}")
    rows = [
        (f"  {name.replace('_', ' ')}", _shown(value))
        for name, value in stage.facts.items()
        if value not in (0, None, "")
    ]
    console.pairs(rows)


def _shown(value: Any) -> str:
    if isinstance(value, bool | str):
        return str(value)[:60]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return " to ".join(str(item) for item in value)
    return str(value)


def verify(
    db: options.DatabaseArgument,
    sample: Annotated[int, typer.Option(min=0, help="Vectors to derive again.")] = 64,
) -> None:
    """Check every hash, that rows line up, and that a sample of vectors comes out again."""
    from retro_cli.store.layout import Layout
    from retro_cli.verify import verify as verify_database

    result, seconds = timed(lambda progress: verify_database(Layout(db), progress, sample))
    if console.state.json:
        console.record(asdict(result))
    else:
        console.paragraph(
            f"{counted(result.files, 'file')}, {console.size(result.bytes)} hashed; "
            f"{counted(result.documents, 'document lines', 'documents line')} up; "
            f"{counted(result.vectors, 'vector')} of unit length, {result.rederived} derived "
            f"again ({console.duration(seconds)})"
        )
        for text in result.skipped:
            console.say(f"not checked: {text}")
        for text in result.problems:
            console.line(f"{console.styled('wrong:', '1;31')} {console.clean(text)}")
    if result.problems:
        raise IntegrityError(
            f"{db}: {counted(len(result.problems), 'problem')}",
            "run chunk, embed and index again with the same inputs: they mend what is damaged",
        )
