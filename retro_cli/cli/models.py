"""retro models: what there is, made ready, converted, removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console
from retro_cli.cli.command import command
from retro_cli.cli.run import timed
from retro_cli.events import Progress

if TYPE_CHECKING:
    from retro_cli.models.catalogue import Model

PANEL = "Models"

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A name of retro models list, hf:ORG/NAME or a folder.",
        show_default=False,
    ),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="The models on this machine: list, pull, convert, remove.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    app.add_typer(group, name="models", rich_help_panel="Model")
    command(group, "list", ["retro models list", "retro models list --json"], PANEL)(list_models)
    command(
        group,
        "pull",
        ["retro models pull SmolLM2-135M-Instruct", "retro models pull hf:ORG/NAME"],
        PANEL,
    )(pull)
    command(
        group,
        "convert",
        ["retro models convert SmolLM2-135M-Instruct", "retro models convert model.Q8_0.gguf"],
        PANEL,
    )(convert)
    command(
        group,
        "remove",
        ["retro models remove SmolLM2-135M-Instruct", "retro models remove hf:ORG/NAME"],
        PANEL,
        environment=False,
    )(remove)


def list_models() -> None:
    """Every model that a name stands for: in packages, in retro's cache, in the hub's cache."""
    from retro_cli.models.catalogue import models

    found = models()
    if console.state.json:
        for each in found:
            console.record(each.to_json())
        return
    cells = [("model", "kind", "from", "state")]
    cells += [(console.clean(each.name), each.kind, each.source, each.state) for each in found]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sizes = ["size", *(console.size(each.bytes) if each.bytes else "-" for each in found)]
    for place, (row, size) in enumerate(zip(cells, sizes, strict=True)):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = f"{line}  {size:>9}"
        console.line(line if place else console.styled(line, "1"))
        if place and found[place - 1].used:
            console.line(console.styled(f"  {found[place - 1].used}", "2"))


def pull(name: Name) -> None:
    """Make a model ready: check its hash, fetch it (only an hf: name), convert it once."""
    from retro_cli.models import keeping

    _made(name, lambda progress: keeping.pull(name, progress))


def convert(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A packaged model, or a .gguf file.", show_default=False
        ),
    ],
) -> None:
    """Turn a model into float32 safetensors in the cache, once."""
    from retro_cli.models import keeping

    _made(name, lambda progress: keeping.convert(name, progress))


def remove(name: Name) -> None:
    """Remove a model from retro's cache or the hub's. Packages and folders of yours stay."""
    from retro_cli.models import keeping

    freed = keeping.remove(name)
    if console.state.json:
        console.record({"model": name, "freed": freed})
    elif freed:
        console.say(f"removed {name}: {console.size(freed)} are free")
    else:
        console.say(f"{name} takes no room in the cache")


def _made(name: str, make: Callable[[Progress], Model]) -> None:
    found, seconds = timed(make)
    if console.state.json:
        console.record({**found.to_json(), "seconds": round(seconds, 3)})
        return
    console.say(f"{name}: {found.kind}, ready in {console.duration(seconds)}")
    console.line(str(found.folder))
