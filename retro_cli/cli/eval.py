"""retro eval: the group of commands that measure, and lm: a model on held-out text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retro_cli.cli import (
    console,
    eval_index,
    eval_page,
    eval_qa,
    eval_retrieval,
    eval_table,
    options,
)
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.errors import UsageError

PANEL = "Evaluate"
CONDITIONS, WINDOWS, TEXTS = "Conditions", "Windows", "Texts"


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Measure retrieval, the index, models and answers, with intervals.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    app.add_typer(group, name="eval", rich_help_panel="Model")
    command(
        group,
        "lm",
        [
            "retro eval lm model/ wiki.db --text held-out.jsonl",
            "retro eval lm model/ wiki.db --text held/ --neighbours 1,2,4 --shares 1,10",
            "retro eval lm model/ wiki.db --text held.jsonl --decontaminate --html report.html",
        ],
        PANEL,
    )(lm)
    eval_retrieval.register(group, PANEL)
    eval_index.register(group, PANEL)
    eval_qa.register(group, PANEL)


def lm(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The RETRO model: a folder, or the name of one that ships.",
            show_default=False,
        ),
    ],
    db: options.DatabaseArgument,
    text: Annotated[
        list[str],
        typer.Option(
            metavar="FILE",
            help="Held-out texts: files, folders, globs or URLs; may be repeated.",
            rich_help_panel=TEXTS,
        ),
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first documents.", rich_help_panel=TEXTS)
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of each document only its beginning, in chunks.", rich_help_panel=TEXTS
        ),
    ] = None,
    decontaminate: Annotated[
        bool,
        typer.Option(
            "--decontaminate",
            help="Leave out documents that the database holds, or nearly: with a 13-gram Jaccard "
            "similarity of 0.8 to one of its documents.",
            rich_help_panel=TEXTS,
        ),
    ] = False,
    k: Annotated[
        int | None,
        typer.Option(
            "-k", min=1, help="Neighbours. (default: the model's own)", rich_help_panel=CONDITIONS
        ),
    ] = None,
    neighbours: Annotated[
        str,
        typer.Option(metavar="K,K", help="Also with so many.", rich_help_panel=CONDITIONS),
    ] = "",
    shares: Annotated[
        str,
        typer.Option(
            metavar="%,%",
            help="Also with a random share of the database's documents, in percent.",
            rich_help_panel=CONDITIONS,
        ),
    ] = "",
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of shuffles, shares and intervals.", rich_help_panel=CONDITIONS),
    ] = 0,
    resamples: Annotated[
        int, typer.Option(min=100, help="Of the intervals.", rich_help_panel=CONDITIONS)
    ] = 10_000,
    window: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens read at once. (default: 1024)", rich_help_panel=WINDOWS),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens from window to window. (default: half)", rich_help_panel=WINDOWS
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Windows at a time.", rich_help_panel=WINDOWS)
    ] = 1,
    device: options.Device = "auto",
    base: Annotated[
        str | None,
        typer.Option(help="Where the base of added weights is now, if not where it was."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page with curves.")
    ] = None,
) -> None:
    """Bits per byte with retrieval on, off and shuffled, on the same tokens, and by overlap.

    Every token but a document's first is scored once. Intervals are over documents.
    """
    from retro_cli.evaluate.lm import evaluate_lm
    from retro_cli.evaluate.lm_report import LmSettings
    from retro_cli.store.atomic import check_output
    from retro_cli.store.layout import Layout

    if html is not None:
        check_output(html)
    settings = LmSettings(
        texts=tuple(text), window=window, stride=stride, k=k,
        neighbours=tuple(int(value) for value in _numbers("neighbours", neighbours, whole=True)),
        shares=tuple(_numbers("shares", shares, whole=False)),
        limit=limit, max_tokens=max_tokens, batch=batch, decontaminate=decontaminate, seed=seed,
        resamples=resamples, device=device, base=base,
    )  # fmt: skip
    report, _ = timed(lambda progress: evaluate_lm(Layout(db), model, settings, progress))
    if html is not None:
        eval_page.write(html, report)
        console.say(f"wrote {html}")
    if console.state.json:
        console.record(report.to_json())
    else:
        eval_table.show(report)


def _numbers(option: str, value: str, *, whole: bool) -> list[float]:
    try:
        return [int(part) if whole else float(part) for part in value.split(",") if part.strip()]
    except ValueError:
        raise UsageError(
            f"--{option} {value}", f"numbers with commas between, as in --{option} 1,10"
        ) from None
