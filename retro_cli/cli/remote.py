"""retro push and pull: databases on object storage."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.wording import counted

PANEL = "Keep"
_Url = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="Where it is, as in s3://bucket/wiki.db.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    command(
        app,
        "push",
        [
            "retro push wiki.db s3://bucket/wiki.db",
            "retro push wiki.db gs://bucket/wiki.db --prune",
        ],
        PANEL,
        environment=False,
        resumes=True,
    )(push)
    command(
        app,
        "pull",
        ["retro pull s3://bucket/wiki.db wiki.db", "retro pull s3://bucket/wiki.db here.db --json"],
        PANEL,
        environment=False,
        resumes=True,
    )(pull)


def push(
    db: options.FolderArgument,
    url: _Url,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what was pushed there from elsewhere.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Bring every file anew, also those that are there.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove all older files now, whoever may be reading them."),
    ] = False,
    keep_hours: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="How long replaced files stay for who reads them. None stay after a purge.",
        ),
    ] = 24.0,
) -> None:
    """Publish a database on object storage, and update it there."""
    from retro_cli.store.layout import Layout
    from retro_cli.store.remote.push import push as run

    report, seconds = timed(
        lambda progress: run(
            Layout(db),
            url,
            force=force,
            repair=repair,
            prune=prune,
            keep_hours=keep_hours,
            progress=progress,
        )
    )
    if console.state.json:
        console.record({**asdict(report), "seconds": round(seconds, 3)})
        return
    if report.changed:
        console.say(
            f"push: number {report.number} of {report.url}, {counted(report.files, 'file')}, "
            f"{report.uploaded:,} of them new ({console.size(report.uploaded_bytes)}, "
            f"{console.duration(seconds)})"
        )
    else:
        console.say(f"push: up to date, number {report.number} of {report.url}")
    if report.removed:
        console.say(f"push: {counted(report.removed, 'old object')} removed")


def pull(
    url: _Url,
    db: options.FolderArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Give up what was changed in the folder.")
    ] = False,
) -> None:
    """Fetch a database from object storage into a folder, or bring the folder up to date."""
    from retro_cli.store.layout import Layout
    from retro_cli.store.remote.pull import pull as run

    report, seconds = timed(lambda progress: run(url, Layout(db), force=force, progress=progress))
    if console.state.json:
        console.record({**asdict(report), "seconds": round(seconds, 3)})
        return
    console.say(
        f"pull: number {report.number} of {report.url}, {counted(report.files, 'file')}, "
        f"{report.fetched:,} of them fetched ({console.size(report.fetched_bytes)}, "
        f"{console.duration(seconds)})"
    )
