"""A whole run: material, model, loop, proof, and the folder that a reader opens."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.config import fingerprint
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.reading.evidence import NeighbourTokens
from retro_cli.reading.material import Material, material_fingerprint
from retro_cli.store.atomic import json_bytes, read_json, write_bytes
from retro_cli.training.batches import Batches
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.devices import accelerator as make_accelerator
from retro_cli.training.devices import once
from retro_cli.training.induction import begin_as_induction, sample_of
from retro_cli.training.loop import Outcome, Trainer
from retro_cli.training.metrics import loss_plot
from retro_cli.training.model import Proof, end_token, prove_untouched, save_model
from retro_cli.training.settings import TrainingSettings

RECORD, METRICS, PLOT, CHECKPOINTS = "training.json", "metrics.jsonl", "loss.svg", "checkpoints"


@dataclass(frozen=True)
class Run:
    """What is trained on what. ``base``: the folder of the frozen base, None from scratch.

    made_from: what the record says of the database and the texts. further: the hash of the added
    weights that this run takes up, "" where they are fresh.
    """

    out: Path
    settings: TrainingSettings
    model: Callable[[], Any]
    tokenizer: ChunkTokenizer
    material: Material
    evidence: NeighbourTokens
    base: Path | None
    made_from: dict[str, Any]
    further: str = ""


@dataclass(frozen=True)
class RunReport:
    """``outcome`` is None where the run was over before. proof: of a fitted model's backbone."""

    out: str
    outcome: Outcome | None
    trained_weights: int
    frozen_weights: int
    proof: Proof | None


def train(run: Run, *, overwrite: bool = False, progress: Progress = SILENT) -> RunReport:
    """Train to the end, from wherever an earlier run of the same stopped.

    Raises UsageError for a folder that holds another run, TrainingDiverged, DiskFull.
    """
    model = run.model()
    _check_fit(run, model)
    identity = _identity(run, model)
    if overwrite:
        once(lambda: _clear(run.out))
    record = read_json(run.out / RECORD) if (run.out / RECORD).is_file() else None
    checkpoints = Checkpoints(run.out / CHECKPOINTS, identity)
    if record is not None and record["run"] == identity:
        progress.note(f"{run.out} is finished: nothing is left to do")
        once(checkpoints.clear)  # where a kill came between the record and this
        return RunReport(str(run.out), None, *_counts(model), None)
    if record is not None or (checkpoints.all() and checkpoints.last() is None):
        raise UsageError(
            f"{run.out} holds another training run (of other settings, text or base)",
            "name another folder with --out, or --overwrite it",
        )
    run.out.mkdir(parents=True, exist_ok=True)
    accelerator = make_accelerator(run.settings.precision)
    fresh = run.base is not None and not run.further
    begins = fresh and run.settings.begin == "induction"
    if begins and not model.added.embeddings and checkpoints.last() is None:
        model.to(accelerator.device)
        begin_as_induction(model, sample_of(run.material.tokens))
    size = run.material.tokens.shape[1]
    end = end_token(run.tokenizer)
    batches = Batches(
        run.material, run.evidence, length=run.settings.sequence // size,
        size=run.settings.batch, seed=run.settings.seed, pad=0 if end is None else end,
        echoes=run.settings.echoes,
    )  # fmt: skip
    trainer = Trainer(
        model, batches, run.settings, checkpoints, run.out / METRICS, accelerator, progress
    )
    outcome = trainer.run()
    model = accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    proof = prove_untouched(model, run.base) if run.base is not None else None
    if accelerator.is_main_process:
        _finish(run, model, identity, outcome, proof)
        checkpoints.clear()
    accelerator.wait_for_everyone()
    return RunReport(str(run.out), outcome, *_counts(model), proof)


def _check_fit(run: Run, model: Any) -> None:
    size, sequence = run.material.tokens.shape[1], run.settings.sequence
    if not run.material.rows:
        raise UsageError("there is no text to train on", "chunk some documents first")
    if sequence % size or sequence < 2 * size:
        raise UsageError(
            f"sequences of {sequence} tokens do not hold whole chunks of {size}",
            f"choose a multiple of {size} with --sequence, at least {2 * size}",
        )
    known = getattr(model.config.base_config, "max_position_embeddings", None)
    if known is not None and sequence > known:
        raise UsageError(
            f"sequences of {sequence:,} tokens are longer than the model's {known:,} positions",
            "choose fewer with --sequence",
        )
    if not (run.material.tokens[:, -1] >= 0).any():
        raise UsageError(
            f"no document has a whole chunk of {size} tokens, so none would read a neighbour",
            "train on longer texts",
        )
    if run.tokenizer.vocabulary > model.config.vocab_size:
        raise UsageError(
            f"the tokenizer has {run.tokenizer.vocabulary:,} tokens, the model only "
            f"{model.config.vocab_size:,}",
            "name the model's own tokenizer",
        )


def _identity(run: Run, model: Any) -> str:
    config = {k: v for k, v in model.config.to_dict().items() if k not in ("base_name", "dtype")}
    return fingerprint([
        run.settings.curve_fingerprint(), fingerprint(_plain(config)),
        material_fingerprint(run.material), run.tokenizer.sha256, run.evidence.length,
        *filter(None, [run.further]),
    ])  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = ("_name_or_path", "transformers_version")
        return {str(k): _plain(v) for k, v in value.items() if k not in left_out}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _counts(model: Any) -> tuple[int, int]:
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trained, sum(p.numel() for p in model.parameters()) - trained


def _finish(run: Run, model: Any, identity: str, outcome: Outcome, proof: Proof | None) -> None:
    save_model(model, run.out, run.tokenizer.path, added_only=run.base is not None)
    title = f"loss in nats a token, {outcome.steps:,} steps"
    write_bytes(run.out / PLOT, loss_plot(list(outcome.losses), title).encode())
    record = {
        "run": identity, "settings": asdict(run.settings), "made_from": run.made_from,
        "proof": asdict(proof) if proof else None,
        "last_loss": outcome.losses[-1] if outcome.losses else None,
    }  # fmt: skip
    write_bytes(run.out / RECORD, json_bytes(record))


def _clear(folder: Path) -> None:
    """Remove an earlier run's files, and nothing else."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    for name in (RECORD, METRICS, PLOT, "config.json", "model.safetensors"):
        (folder / name).unlink(missing_ok=True)
