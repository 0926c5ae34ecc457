"""Teach a causal language model to use a memory: the gates of one layer and, on request, the layer.

A document is read window after window (Wu et al. 2022, section 3.1): a window is read with what
the memory holds, learned from, and then remembered. The memory is empty where a document begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retro_cli.config import fingerprint
from retro_cli.datastore.maker import model_fingerprint
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.models.base import goes_by_name, portable_name
from retro_cli.models.language import open_language_model
from retro_cli.models.loss import summed_nats
from retro_cli.models.memorizing import CAPACITY, WINDOW, K, MemorizingModel
from retro_cli.models.memory import Memory
from retro_cli.models.memory_saving import MemoryConfig, save_memorizing
from retro_cli.query.retrieve import Retriever
from retro_cli.training.course import CourseSettings
from retro_cli.training.folder import CourseFolder
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
        if not 0 < self.rate < 1:
            raise UsageError(f"--rate {self.rate:g}", "between 0 and 1")

    def course(self) -> CourseSettings:
        """A window a step, at one rate throughout."""
        return CourseSettings(
            steps=self.windows, batch=1, learning_rate=self.rate, warmup=0, final=1.0,
            weight_decay=0.0, seed=self.seed,
        )  # fmt: skip


GATES = 100.0
ATTENTION = "attention."  # what gates and their heat are called in a MemorizingModel
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
) -> MemoryReport | None:  # fmt: skip
    """Train on documents of more than a window, and save the model; None if that was done before.

    Raises UsageError for a folder that holds something else, or texts that are all too short,
    TrainingDiverged for a loss that is no number, and what opening the base raises.
    """
    opened = open_language_model(base, device=device)
    encoded = (opened.tokenizer(text, verbose=False)["input_ids"] for text in texts)
    documents = [ids for ids in encoded if len(ids) > settings.window]
    if not documents:
        raise UsageError(
            f"no document is longer than a window of {counted(settings.window, 'token')}",
            "a memory is learned on long documents; or choose a shorter --window",
        )
    base_sha256 = model_fingerprint(opened.folder)
    run = fingerprint([asdict(settings), base_sha256, documents])
    folder = CourseFolder(out, run)
    if not folder.begin(overwrite=overwrite):
        progress.note(f"{out} is finished: nothing is left to do")
        return None
    model = MemorizingModel(
        opened.network, settings.layer, settings.k, settings.capacity, settings.window
    ).to(opened.network.device)
    lesson = MemoryLesson(model, documents, settings)
    name = portable_name(base) if goes_by_name(base) else str(Path(base).expanduser().resolve())

    def save(folder: Path) -> dict[str, Any]:
        model.eval().requires_grad_(False)
        config = MemoryConfig(
            name, base_sha256, model.layer, model.k, model.capacity, model.window,
            settings.train_layer, {"settings": asdict(settings), "tokens": lesson.tokens},
        )  # fmt: skip
        save_memorizing(model, config, folder)
        return {"tokens": lesson.tokens}

    outcome = folder.learn(lesson, settings.course(), save, "token", progress)
    gates = tuple(round(gate, 4) for gate in model.attention.gate.sigmoid().tolist())
    return MemoryReport(
        str(out),
        model.layer,
        len(documents),
        settings.windows,
        lesson.tokens,
        outcome.losses,
        gates,
    )


class MemoryLesson:
    """Windows of documents, each read with what the memory holds of those before it.

    The base's other weights stay frozen, and its dropout off.
    """

    def __init__(
        self, model: MemorizingModel, documents: Sequence[Sequence[int]], settings: MemoryTraining
    ) -> None:
        self._model, self._settings, self._documents = model, settings, documents
        self._windows = planned_windows([len(ids) for ids in documents], settings)
        self._memory: Memory | None = None
        model.requires_grad_(False)
        model.attention.requires_grad_(True)
        if settings.train_layer:
            model.layer_parts().requires_grad_(True)

    @property
    def tokens(self) -> int:
        """Of all windows."""
        return sum(window.stop - window.start for window in self._windows)

    def trained(self) -> dict[str, Tensor]:
        return {name: w for name, w in self._model.named_parameters() if w.requires_grad}

    def paces(self) -> dict[str, float]:
        return {name: GATES for name in self.trained() if name.startswith(ATTENTION)}

    def networks(self) -> list[Any]:
        return []

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Nats a token of a window. What is remembered of it is for the next step."""
        window = self._windows[step]
        ids = self._documents[window.document][window.start : window.stop]
        batch = torch.tensor([ids], device=self._model.device)
        passed = self._model(batch, self._memory if window.start else None)
        nats = summed_nats(passed.hidden, self._model.base.get_output_embeddings(), batch)
        before = self._memory if window.start else None
        self._memory = self._model.remembered(before, passed.fresh)
        return nats / (len(ids) - 1), {}

    def state(self) -> dict[str, Tensor]:
        return {} if self._memory is None else self._memory.tensors()

    def resume(self, step: int, state: dict[str, Tensor]) -> None:
        on_device = {name: tensor.to(self._model.device) for name, tensor in state.items()}
        self._memory = Memory(**on_device) if state else None


@dataclass(frozen=True)
class TokenWindow:
    """Tokens ``start`` to ``stop`` of a document, by its number."""

    document: int
    start: int
    stop: int


def planned_windows(lengths: Sequence[int], settings: MemoryTraining) -> list[TokenWindow]:
    """The window of each step: documents of these many tokens in an order by the seed, over and
    over, until there are enough. A last window of a token is left out."""
    dice = np.random.default_rng(settings.seed)
    found: list[TokenWindow] = []
    while len(found) < settings.windows:
        for document in dice.permutation(len(lengths)).tolist():
            length = lengths[document]
            found += [
                TokenWindow(document, start, min(start + settings.window, length))
                for start in range(0, length - 1, settings.window)
            ]
    return found[: settings.windows]


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
