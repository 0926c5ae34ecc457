"""retro train and retro fit: a RETRO model from scratch, or around a pretrained one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retro_cli.cli import console, options, train_options
from retro_cli.cli.command import command
from retro_cli.cli.run import timed

if TYPE_CHECKING:
    from retro_cli.learning import Lesson
    from retro_cli.training.run import RunReport
    from retro_cli.training.settings import Preset

PANEL = "Model"


def register(app: typer.Typer) -> None:
    command(
        app, "fit",
        ["retro fit wiki.db --out model/", "retro fit wiki.db --base llama/ --out model/ -k 4"],
        PANEL, resumes=True,
    )(fit)  # fmt: skip
    command(
        app, "train",
        ["retro train wiki.db --out small/", "retro train wiki.db --preset 172m --out model/"],
        PANEL, resumes=True,
    )(train)  # fmt: skip


def fit(
    db: options.FolderArgument,
    out: train_options.Out,
    *,
    base: Annotated[
        str,
        typer.Option(
            help="The model to fit: a folder, a packaged name or hf:ORG/NAME; or a fitted model, "
            "to go on with it."
        ),
    ] = "SmolLM2-135M-Instruct",
    preset: train_options.FitPreset = "tiny",
    begin: train_options.Begin = None,
    chosen: train_options.Learning,
    download: options.Download = False,
) -> None:
    """Teach a pretrained model to read neighbours; its own weights stay as they are, to the bit.

    On several GPUs: accelerate launch --multi_gpu --num_processes 4 -m retro_cli fit DB --out
    MODEL. They share the passes of a step (--accumulate), so that it is the same on any number.
    """
    from retro_cli import learning
    from retro_cli.training.settings import FIT_PRESETS
    from retro_cli.training.settings import preset as named

    lesson = _lesson(db, out, named(preset, FIT_PRESETS), chosen, begin)
    report, seconds = timed(
        lambda progress: learning.fit(lesson, base, allow_download=download, progress=progress)
    )
    _say("fit", report, seconds)


def train(
    db: options.FolderArgument,
    out: train_options.Out,
    *,
    preset: train_options.TrainPreset = "tiny",
    tokenizer: Annotated[
        str, typer.Option(help="Of the model. (default: the one that cut the database)")
    ] = "",
    chosen: train_options.Learning,
) -> None:
    """Train a RETRO model from scratch on a database and its neighbours.

    On several GPUs: accelerate launch --multi_gpu --num_processes 4 -m retro_cli train DB --out
    MODEL. They share the passes of a step (--accumulate), so that it is the same on any number.
    """
    from retro_cli import learning
    from retro_cli.training.settings import SCRATCH_PRESETS
    from retro_cli.training.settings import preset as named

    lesson = _lesson(db, out, named(preset, SCRATCH_PRESETS), chosen)
    report, seconds = timed(lambda progress: learning.train(lesson, tokenizer, progress=progress))
    _say("train", report, seconds)


def _lesson(
    db: Path, out: Path, preset: Preset, chosen: train_options.Learning, begin: str | None = None
) -> Lesson:
    from retro_cli.learning import Lesson
    from retro_cli.store.layout import Layout

    return Lesson(
        Layout(db),
        out,
        preset.training.changed(**chosen.run(), begin=begin),
        chosen.text or (),
        chosen.table,
        chosen.max_copy,
        preset.base,
        preset.added,
        chosen.added(),
        chosen.overwrite,
    )


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
