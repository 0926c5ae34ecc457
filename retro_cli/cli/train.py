"""retro train and retro fit: a RETRO model from scratch, or around a pretrained one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retro_cli.cli import console, options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed

if TYPE_CHECKING:
    from retro_cli.learning import Lesson
    from retro_cli.training.run import RunReport
    from retro_cli.training.settings import Preset

PANEL = "Model"
SHAPE, RUN, TEXT = "Shape", "Run", "Text"

Out = Annotated[
    Path, typer.Option("--out", metavar="MODEL", help="The folder to write the model to.")
]
FitPreset = Annotated[
    str, typer.Option("--preset", help="tiny (two CPU cores, minutes), gpu-hour or paper.")
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
        "--cca-layers", help="Layers that read, from 1, as in 6,9,12.", rich_help_panel=SHAPE
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


def register(app: typer.Typer) -> None:
    command(
        app, "fit",
        ["retro fit wiki.db --out model/", "retro fit wiki.db --base llama/ --out model/ -k 4"],
        PANEL,
    )(fit)  # fmt: skip
    command(
        app, "train",
        ["retro train wiki.db --out small/", "retro train wiki.db --preset 172m --out model/"],
        PANEL,
    )(train)  # fmt: skip


def fit(
    db: options.DatabaseArgument,
    out: Out,
    base: Annotated[
        str, typer.Option(help="The model to fit: a folder, a packaged name or hf:ORG/NAME.")
    ] = "SmolLM2-135M-Instruct",
    preset: FitPreset = "tiny",
    text: Texts = None,
    max_copy: MaxCopy = 1.0,
    table: Table = "",
    k: Neighbours = None,
    cca_layers: CCA = None,
    encoder_width: Width = None,
    encoder_heads: Heads = None,
    encoder_layers: Depth = None,
    steps: Steps = None,
    batch: Batch = None,
    accumulate: Accumulate = None,
    sequence: Sequence = None,
    learning_rate: Rate = None,
    warmup: Warmup = None,
    precision: Precision = None,
    save_every: SaveEvery = None,
    seed: Seed = None,
    begin: Begin = None,
    echoes: Echoes = None,
    overwrite: Overwrite = False,
    download: options.Download = False,
) -> None:
    """Teach a pretrained model to read neighbours; its own weights stay as they are, to the bit."""
    from retro_cli import learning
    from retro_cli.training.settings import FIT_PRESETS
    from retro_cli.training.settings import preset as named

    lesson = _lesson(named(preset, FIT_PRESETS), locals())
    report, seconds = timed(
        lambda progress: learning.fit(lesson, base, allow_download=download, progress=progress)
    )
    _say("fit", report, seconds)


def train(
    db: options.DatabaseArgument,
    out: Out,
    preset: TrainPreset = "tiny",
    tokenizer: Annotated[
        str, typer.Option(help="Of the model. (default: the one that cut the database)")
    ] = "",
    text: Texts = None,
    max_copy: MaxCopy = 1.0,
    table: Table = "",
    k: Neighbours = None,
    cca_layers: CCA = None,
    encoder_width: Width = None,
    encoder_heads: Heads = None,
    encoder_layers: Depth = None,
    steps: Steps = None,
    batch: Batch = None,
    accumulate: Accumulate = None,
    sequence: Sequence = None,
    learning_rate: Rate = None,
    warmup: Warmup = None,
    precision: Precision = None,
    save_every: SaveEvery = None,
    seed: Seed = None,
    echoes: Echoes = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a RETRO model from scratch on a database and its neighbours."""
    from retro_cli import learning
    from retro_cli.training.settings import SCRATCH_PRESETS
    from retro_cli.training.settings import preset as named

    lesson = _lesson(named(preset, SCRATCH_PRESETS), locals())
    report, seconds = timed(lambda progress: learning.train(lesson, tokenizer, progress=progress))
    _say("train", report, seconds)


def _lesson(preset: Preset, said: dict[str, Any]) -> Lesson:
    from retro_cli.learning import Lesson
    from retro_cli.store.layout import Layout

    run = ("steps", "batch", "accumulate", "sequence", "learning_rate", "warmup", "precision",
           "save_every", "seed", "begin", "echoes")  # fmt: skip
    shape = ("encoder_width", "encoder_heads", "encoder_layers")
    settings = preset.training.changed(
        neighbours=said["k"], **{name: said.get(name) for name in run}
    )
    added = {**preset.added, **{n: said[n] for n in shape if said[n] is not None}}
    if said["cca_layers"] is not None:
        added["cca_layers"] = options.whole_numbers("--cca-layers", said["cca_layers"])
    return Lesson(
        Layout(said["db"]), said["out"], settings, said["text"] or (), said["table"],
        said["max_copy"], preset.base, added, said["overwrite"],
    )  # fmt: skip


def _say(stage: str, report: RunReport, seconds: float) -> None:
    from retro_cli.training.devices import is_first

    outcome = report.outcome
    if not is_first():
        return
    if console.state.json:
        value = asdict(report)
        if value["outcome"]:
            losses = value["outcome"].pop("losses")
            value["outcome"]["last_loss"] = losses[-1] if losses else None
        console.record({"stage": stage, "seconds": round(seconds, 3), **value})
        return
    if outcome is None:
        return
    console.say(
        f"{stage}: {outcome.steps_now:,} steps, {outcome.tokens:,} tokens in "
        f"{console.duration(seconds)} ({outcome.tokens_per_second:,.0f} tokens/s); last loss "
        f"{outcome.losses[-1]:.3f}"
    )
    if report.proof is not None:
        console.say(
            f"{stage}: {report.trained_weights:,} weights trained; the {report.frozen_weights:,} "
            f"of the base are bit-identical (sha256 {report.proof.backbone_sha256[:12]}), and "
            f"without retrieval its logits too"
        )
    console.say(f"{stage}: {report.out} holds the model, metrics.jsonl and loss.svg")
