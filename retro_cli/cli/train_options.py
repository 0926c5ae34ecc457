"""The options that ``retro fit`` and ``retro train`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SHAPE, RUN, TEXT = "Shape", "Run", "Text"

Out = Annotated[
    Path, typer.Option("--out", metavar="MODEL", help="The folder to write the model to.")
]
FitPreset = Annotated[
    str,
    typer.Option("--preset", help="tiny (two CPU cores, minutes), cpu-hour, gpu-hour or paper."),
]
TrainPreset = Annotated[
    str,
    typer.Option(
        "--preset",
        help="tiny (two CPU cores, minutes), gpu-hour, or the paper's 172m, 425m, 1.5b, 7.5b.",
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="FILE", rich_help_panel=TEXT,
        help="Train on these texts; may be repeated. (default: the database's own documents)",
    ),
]  # fmt: skip
MaxCopy = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, rich_help_panel=TEXT,
        help="No neighbour that has this share of a chunk's runs of five tokens. 1 lets all "
        "through.",
    ),
]  # fmt: skip
Table = Annotated[
    str, typer.Option(rich_help_panel=TEXT, help="The neighbour table's name; made if need be.")
]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Updates of the weights.", rich_help_panel=RUN)
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", help="Sequences in one pass on one device.", rich_help_panel=RUN),
]
Accumulate = Annotated[
    int | None, typer.Option("--accumulate", help="Passes in one step.", rich_help_panel=RUN)
]
Sequence = Annotated[
    int | None,
    typer.Option("--sequence", help="Tokens in a sequence, a multiple of 64.", rich_help_panel=RUN),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate", help="The peak; a tenth of it at the end.", rich_help_panel=RUN
    ),
]
Warmup = Annotated[
    int | None, typer.Option("--warmup", help="Steps to the peak.", rich_help_panel=RUN)
]
SaveEvery = Annotated[
    int | None, typer.Option("--save-every", help="Steps between checkpoints.", rich_help_panel=RUN)
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="auto, fp32 or bf16.", rich_help_panel=RUN)
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Of the weights and the order of the text.", rich_help_panel=RUN),
]
Begin = Annotated[
    str | None,
    typer.Option(
        "--begin",
        help="How the added weights begin: induction (looking for the present token in the "
        "neighbours) or random.",
        rich_help_panel=RUN,
    ),
]
Echoes = Annotated[
    float | None,
    typer.Option(
        "--echoes",
        min=0.0,
        max=1.0,
        help="The share of chunks that find passages of their own document in a neighbour, to "
        "learn copying from.",
        rich_help_panel=RUN,
    ),
]
Neighbours = Annotated[
    int | None, typer.Option("-k", help="Neighbours of each chunk.", rich_help_panel=SHAPE)
]
CCA = Annotated[
    str | None,
    typer.Option(
        "--cca-layers",
        help="Layers that read, from 1, as in 6,9,12; late: four in the last third.",
        rich_help_panel=SHAPE,
    ),
]
Width = Annotated[
    int | None,
    typer.Option("--encoder-width", help="Of the neighbour encoder.", rich_help_panel=SHAPE),
]
Heads = Annotated[
    int | None,
    typer.Option("--encoder-heads", help="Of the neighbour encoder.", rich_help_panel=SHAPE),
]
Depth = Annotated[
    int | None,
    typer.Option("--encoder-layers", help="Of the neighbour encoder.", rich_help_panel=SHAPE),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace another model in the folder.")
]
