"""Teach a causal language model to use a memory: the gates of one layer and, on request, the layer.

A document is read window after window (Wu et al. 2022, section 3.1): a window is read with what
the memory holds, learned from, and then remembered. The memory is empty where a document begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retro_cli.datastore.maker import model_fingerprint
from retro_cli.errors import TrainingDiverged, UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.models.base import goes_by_name, portable_name
from retro_cli.models.language import open_language_model
from retro_cli.models.loss import summed_nats
from retro_cli.models.memorizing import CAPACITY, WINDOW, K, MemorizingModel
from retro_cli.models.memory import Memory
from retro_cli.models.memory_saving import MemoryConfig, save_memorizing
from retro_cli.query.retrieve import Retriever
from retro_cli.wording import counted

Tensor = Any


@dataclass(frozen=True)
class MemoryTraining:
    """layer, k, capacity, window: MemorizingModel's. windows: how many are read; one is a step.
    rate: of the layer's weights; gates learn GATES times as fast. train_layer: whether the layer's
    own weights learn too, and not the gates alone."""

    layer: int | None = None
    k: int = K
    capacity: int = CAPACITY
    window: int = WINDOW
    windows: int = 200
    rate: float = 1e-4
    train_layer: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise UsageError(f"{self.windows} windows", "read one at least")
        if not 0 < self.rate < math.inf:
            raise UsageError(f"--rate {self.rate:g}", "a number above 0")


GATES = 100.0
_ROWS = 4096  # chunks read at a time


@dataclass(frozen=True)
class MemoryReport:
    """losses: nats a token of each window. gates: of each head, from 0 to 1."""

    out: str
    layer: int
    documents: int
    windows: int
    tokens: int
    losses: tuple[float, ...]
    gates: tuple[float, ...]


def train_memory(
    base: str | Path, texts: Iterable[str], out: Path, settings: MemoryTraining,
    device: str = "auto", *, overwrite: bool = False, progress: Progress = SILENT,
) -> MemoryReport:  # fmt: skip
    """Train on documents of more than a window, and save the model.

    Raises UsageError for a folder that is there already, or texts that are all too short,
    TrainingDiverged for a loss that is no number, and what opening the base raises.
    """
    if out.exists() and not overwrite:
        raise UsageError(f"{out} is there already", "name another folder, or --overwrite it")
    opened = open_language_model(base, device=device)
    encoded = (opened.tokenizer(text, verbose=False)["input_ids"] for text in texts)
    documents = [ids for ids in encoded if len(ids) > settings.window]
    if not documents:
        raise UsageError(
            f"no document is longer than a window of {counted(settings.window, 'token')}",
            "a memory is learned on long documents; or choose a shorter --window",
        )
    model = MemorizingModel(
        opened.network, settings.layer, settings.k, settings.capacity, settings.window
    ).to(opened.network.device)
    losses, tokens = learn(model, documents, settings, progress)
    name = portable_name(base) if goes_by_name(base) else str(Path(base).expanduser().resolve())
    gates = tuple(round(gate, 4) for gate in model.attention.gate.sigmoid().tolist())
    report = MemoryReport(
        str(out), model.layer, len(documents), len(losses), tokens, tuple(losses), gates
    )
    record = {"settings": asdict(settings), "tokens": tokens, "losses": list(report.losses)}
    config = MemoryConfig(
        name, model_fingerprint(opened.folder), model.layer, model.k, model.capacity, model.window,
        settings.train_layer, record,
    )  # fmt: skip
    save_memorizing(model, config, out)
    return report


def learn(
    model: MemorizingModel, documents: Sequence[Sequence[int]], settings: MemoryTraining,
    progress: Progress = SILENT,
) -> tuple[list[float], int]:  # fmt: skip
    """Nats a token of each window, and the tokens read. The base's other weights stay frozen."""
    optimiser = _optimiser(model, settings)
    losses: list[float] = []
    tokens = 0
    memory: Memory | None = None
    progress.started("windows", settings.windows, "windows")
    for ids, begins in _windows(documents, settings):
        if begins:
            memory = None
        batch = torch.tensor([ids], device=model.device)
        passed = model(batch, memory)
        nats = summed_nats(passed.hidden, model.base.get_output_embeddings(), batch)
        loss = nats / (len(ids) - 1)
        if not math.isfinite(float(loss.detach())):
            raise TrainingDiverged(f"the loss of window {len(losses)} is no number", "lower --rate")
        if loss.requires_grad:
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
            optimiser.step()
        memory = model.remembered(memory, passed.fresh)
        losses.append(round(float(loss.detach()), 4))
        tokens += len(ids)
        progress.advanced("windows", 1)
        progress.says("windows", f"loss {losses[-1]:.3f}")
    progress.finished("windows")
    model.eval().requires_grad_(False)
    return losses, tokens


def _optimiser(model: MemorizingModel, settings: MemoryTraining) -> Any:
    model.requires_grad_(False)
    model.attention.requires_grad_(True)
    groups = [{"params": list(model.attention.parameters()), "lr": GATES * settings.rate}]
    if settings.train_layer:
        layer = model.layer_parts().requires_grad_(True)
        groups.append({"params": list(layer.parameters()), "lr": settings.rate})
    return torch.optim.AdamW(groups, weight_decay=0.0)


def _windows(
    documents: Sequence[Sequence[int]], settings: MemoryTraining
) -> Iterator[tuple[Sequence[int], bool]]:
    """Windows of documents in an order by the seed, over and over, until there are enough: the
    tokens of each, and whether a document begins with it. A last window of a token is left out."""
    dice = np.random.default_rng(settings.seed)
    given = 0
    while True:
        for place in dice.permutation(len(documents)).tolist():
            document = documents[place]
            for start in range(0, len(document) - 1, settings.window):
                if given == settings.windows:
                    return
                given += 1
                yield document[start : start + settings.window], not start


def database_documents(retriever: Retriever) -> Iterator[str]:
    """The texts of a generation's documents, without what may not be shown."""
    rows = np.flatnonzero(retriever.own)
    text, document = "", -1
    for start in range(0, len(rows), _ROWS):
        for chunk in retriever.rows.get(rows[start : start + _ROWS].tolist()):
            first = chunk.id - chunk.position
            if first != document:
                if text:
                    yield text
                text, document = "", first
            text += chunk.text
    if text:
        yield text
