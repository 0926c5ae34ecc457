"""The options of ``retro fit`` and ``retro train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from retro_cli.cli.options import whole_numbers

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
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace another model in the folder.")
]


def _in_run(flag: str, says: str, low: float | None = None, high: float | None = None) -> Any:
    return typer.Option(flag, help=says, rich_help_panel=RUN, min=low, max=high)


def _of_shape(flag: str, says: str) -> Any:
    return typer.Option(flag, help=says, rich_help_panel=SHAPE)


Steps = Annotated[int | None, _in_run("--steps", "Updates of the weights.")]
Batch = Annotated[int | None, _in_run("--batch", "Sequences in one pass on one device.")]
Accumulate = Annotated[int | None, _in_run("--accumulate", "Passes in a step, of all devices.")]
Sequence = Annotated[int | None, _in_run("--sequence", "Tokens in a sequence, a multiple of 64.")]
Rate = Annotated[float | None, _in_run("--learning-rate", "The peak; a tenth of it at the end.")]
Warmup = Annotated[int | None, _in_run("--warmup", "Steps to the peak.")]
SaveEvery = Annotated[int | None, _in_run("--save-every", "Steps between checkpoints.")]
Precision = Annotated[str | None, _in_run("--precision", "auto, fp32 or bf16.")]
Seed = Annotated[int | None, _in_run("--seed", "Of the weights and the order of the text.")]
Begin = Annotated[
    str | None,
    _in_run(
        "--begin",
        "How the added weights begin: induction (looking for the present token in the "
        "neighbours) or random.",
    ),
]
Echoes = Annotated[
    float | None,
    _in_run(
        "--echoes",
        "The share of chunks that find passages of their own document in a neighbour, to learn "
        "copying from.",
        low=0.0,
        high=1.0,
    ),
]
Neighbours = Annotated[int | None, _of_shape("-k", "Neighbours of each chunk.")]
CCA = Annotated[
    str | None,
    _of_shape(
        "--cca-layers", "Layers that read, from 1, as in 6,9,12; late: four in the last third."
    ),
]
Width = Annotated[int | None, _of_shape("--encoder-width", "Of the neighbour encoder.")]
Heads = Annotated[int | None, _of_shape("--encoder-heads", "Of the neighbour encoder.")]
Depth = Annotated[int | None, _of_shape("--encoder-layers", "Of the neighbour encoder.")]


@dataclass(frozen=True)
class Learning:
    """What both commands ask; None: as the preset has it."""

    text: Texts = None
    max_copy: MaxCopy = 1.0
    table: Table = ""
    k: Neighbours = None
    cca_layers: CCA = None
    encoder_width: Width = None
    encoder_heads: Heads = None
    encoder_layers: Depth = None
    steps: Steps = None
    batch: Batch = None
    accumulate: Accumulate = None
    sequence: Sequence = None
    learning_rate: Rate = None
    warmup: Warmup = None
    precision: Precision = None
    save_every: SaveEvery = None
    seed: Seed = None
    echoes: Echoes = None
    overwrite: Overwrite = False

    def run(self) -> dict[str, Any]:
        """Fields of TrainingSettings."""
        return {name: getattr(self, name) for name in _RUN} | {"neighbours": self.k}

    def added(self) -> dict[str, Any]:
        """Fields of RetroConfig. Raises UsageError."""
        shape = {name: getattr(self, name) for name in _SHAPE}
        layers: str | list[int] | None = self.cca_layers
        if isinstance(layers, str) and layers != "late":
            layers = whole_numbers("--cca-layers", layers)
        return {n: v for n, v in {**shape, "cca_layers": layers}.items() if v is not None}


_RUN = (
    "steps", "batch", "accumulate", "sequence", "learning_rate", "warmup", "precision",
    "save_every", "seed", "echoes",
)  # fmt: skip
_SHAPE = ("encoder_width", "encoder_heads", "encoder_layers")
