"""The options of ``retro train-reader`` and ``retro train-encoder``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retro_cli.cli.options import Device, folder

if TYPE_CHECKING:
    from retro_cli.training.course import CourseSettings

RUN = "Run"

Out = Annotated[
    Path,
    typer.Option("--out", parser=folder, metavar="FOLDER", help="The folder to write to."),
]
Questions = Annotated[
    Path,
    typer.Option(
        "--questions",
        metavar="FILE",
        help="Questions with their answers: JSON, JSON lines or TSV, as DPR, FiD or KILT have "
        "them.",
    ),
]


def _in_run(flag: str, says: str) -> Any:
    return typer.Option(flag, help=says, rich_help_panel=RUN)


@dataclass(frozen=True)
class Steps:
    """How a run goes; None: as the command has it."""

    steps: Annotated[int | None, _in_run("--steps", "Updates of the weights.")] = None
    batch: Annotated[int | None, _in_run("--batch", "Questions in one.")] = None
    learning_rate: Annotated[
        float | None, _in_run("--learning-rate", "The peak; a tenth of it at the end.")
    ] = None
    warmup: Annotated[int | None, _in_run("--warmup", "Steps to the peak.")] = None
    save_every: Annotated[int | None, _in_run("--save-every", "Steps between checkpoints.")] = None
    seed: Annotated[int | None, _in_run("--seed", "Of the order of the questions.")] = None
    device: Device = "auto"
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another run in the folder.")
    ] = False

    def settings(self, usual: CourseSettings) -> CourseSettings:
        """Raises UsageError for numbers that mean nothing."""
        known = {each.name for each in fields(usual)}
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return usual.changed(**{name: value for name, value in said.items() if name in known})
