"""Material for tiny models: documents of random tokens with neighbours that can be read."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from model_helpers import BASES, VOCABULARY

from retro_cli.models.retro import RetroForCausalLM
from retro_cli.reading.material import Material
from retro_cli.training.batches import Batches
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.devices import accelerator
from retro_cli.training.loop import Trainer
from retro_cli.training.metrics import read_metrics
from retro_cli.training.settings import TrainingSettings

M = 4


class Shelf:
    """Stands for NeighbourTokens: the tokens of chunk ``id`` are a function of the id."""

    def __init__(self, length=2 * M):
        self.length = length

    def read(self, ids):
        tokens = 3 + (ids[..., None] * 7 + np.arange(self.length) * 5) % (VOCABULARY - 3)
        return np.where(ids[..., None] < 0, -1, tokens).astype(np.int32)


def material(lengths=(9, 14, 4, 21, 6), k=2, seed=0):
    """Documents of so many tokens, in rows of M."""
    random = np.random.default_rng(seed)
    rows, start = [], []
    for length in lengths:
        tokens = random.integers(3, VOCABULARY, length)
        for first in range(0, length, M):
            row = np.full(M, -1, np.int32)
            kept = tokens[first : first + M]
            row[: len(kept)] = kept
            rows.append(row)
            start.append(first == 0)
    neighbours = random.integers(-1, 50, (len(rows), k))
    return Material(np.array(rows), np.array(start), neighbours.astype(np.int64))


def scratch(kind="llama", **settings):
    chosen = {"chunk_length": M, "cca_layers": [2, 3], "encoder_width": 12, "encoder_heads": 3}
    return RetroForCausalLM.from_config(deepcopy(BASES[kind]), **{**chosen, **settings})


SETTINGS = TrainingSettings(
    sequence=4 * M, batch=2, accumulate=2, steps=12, warmup=3, learning_rate=1e-2, save_every=5,
    precision="fp32",
)  # fmt: skip


def trainer(folder, model, settings=SETTINGS, given=None):
    batches = Batches(
        given or material((9, 14, 4, 21, 6, 17, 30)), Shelf(), length=settings.sequence // M,
        size=settings.batch, seed=settings.seed, pad=0,
    )  # fmt: skip
    checkpoints = Checkpoints(folder / "checkpoints", "run")
    device = accelerator(settings.precision)
    return Trainer(model, batches, settings, checkpoints, folder / "metrics.jsonl", device)


def losses(folder):
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl")]
