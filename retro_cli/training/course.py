"""A loop for anything that gives a loss at each step: the same curve however often it stops.

Where ``loop.py`` trains RETRO on a stream of tokens and several devices, this one trains readers
and encoders on questions, in one process.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch

from retro_cli.config import fingerprint
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.loop import check_weights, diverged
from retro_cli.training.metrics import Metrics
from retro_cli.training.optimiser import adamw, moments, restore, set_rate
from retro_cli.training.schedule import learning_rate

Tensor = Any
TASK = "training"
STATE = "state."  # in a checkpoint, before the name of what is not trained


@dataclass(frozen=True)
class CourseSettings:
    """steps: updates of the weights. batch: questions in one. learning_rate: the peak; warmup:
    steps to it; then a cosine to ``final`` of it. betas, weight_decay, clip: of AdamW and the norm
    of the gradient. save_every: steps between checkpoints. seed: of the order of the questions and
    of the dropout. Raises UsageError for numbers that mean nothing."""

    steps: int = 300
    batch: int = 8
    learning_rate: float = 2e-5
    warmup: int = 20
    final: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip: float = 1.0
    save_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", "at least 1")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"a learning rate of {self.learning_rate}", "between 0 and 1")

    def changed(self, **values: Any) -> Self:
        """A copy with every value that is not None put in."""
        return replace(self, **{name: v for name, v in values.items() if v is not None})

    def curve_fingerprint(self) -> str:
        """Runs with equal ones on equal material have equal loss curves."""
        shaping = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "save_every"}
        return fingerprint(shaping)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Lesson(Protocol):
    """What is learned: weights, a loss at each step, and what else a step depends on."""

    def trained(self) -> dict[str, Tensor]:
        """Every weight that learns, by name."""

    def paces(self) -> dict[str, float]:
        """Of the weights that learn faster or slower than the others, how many times as fast."""

    def networks(self) -> list[Any]:
        """The torch modules that learn, to be put in training mode."""

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of a step, a function of the step, the weights and the state; and what else the
        metrics are to say of it."""

    def state(self) -> dict[str, Tensor]:
        """Tensors that later losses depend on, besides the weights."""

    def resume(self, step: int, state: dict[str, Tensor]) -> None:
        """Take up what ``state`` gave when ``step`` steps were done."""


@dataclass(frozen=True)
class Outcome:
    """Steps taken now and in all, the losses of all, questions a second of those taken."""

    steps_now: int
    steps: int
    losses: tuple[float, ...]
    questions_per_second: float


class Course:
    """Takes a lesson's steps with AdamW and a cosine schedule, saving as it goes."""

    def __init__(
        self, lesson: Lesson, settings: CourseSettings, checkpoints: Checkpoints, metrics: Path,
        progress: Progress = SILENT,
    ) -> None:  # fmt: skip
        self.lesson, self.settings = lesson, settings
        self.checkpoints, self.progress = checkpoints, progress
        self.trained = lesson.trained()
        self.optimiser = adamw(self.trained, settings.betas, settings.weight_decay, lesson.paces())
        self.first = self._resume()
        self.metrics = Metrics(metrics, self.first)

    def _resume(self) -> int:
        last = self.checkpoints.last()
        if last is None:
            return 0
        step, kept, stored = self.checkpoints.load(last)
        restore(self.trained, self.optimiser, kept, stored)
        state = {n.removeprefix(STATE): v for n, v in kept.items() if n.startswith(STATE)}
        self.lesson.resume(step, state)
        self.progress.note(f"resuming after step {step:,} of {self.settings.steps:,} ({last})")
        return step

    def run(self) -> Outcome:
        """Take the steps that are left. Raises TrainingDiverged, DiskFull."""
        settings, begun = self.settings, time.monotonic()
        left = (settings.steps - self.first) * settings.batch
        for network in self.lesson.networks():
            network.train()
        self.progress.started(TASK, left, "questions")
        checkpoint = self.checkpoints.last()
        for step in range(self.first, settings.steps):
            started = time.monotonic()
            loss, norm, said = self._step(step)
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise diverged(step, loss, norm, checkpoint)
            self._record(step, loss, norm, said, time.monotonic() - started)
            done = step + 1
            if done % settings.save_every == 0 or done == settings.steps:
                check_weights(self.trained, done, checkpoint)
                checkpoint = self._save(done)
        self.progress.finished(TASK)
        for network in self.lesson.networks():
            network.eval()
        losses = tuple(line["loss"] for line in self.metrics.lines)
        seconds = max(time.monotonic() - begun, 1e-9)
        return Outcome(settings.steps - self.first, settings.steps, losses, left / seconds)

    def _step(self, step: int) -> tuple[float, float, dict[str, float]]:
        """One update; its loss, the norm of the gradient before it, and what the lesson says."""
        settings = self.settings
        torch.manual_seed(hash((settings.seed, step)))
        loss, said = self.lesson.loss(step)
        if loss.requires_grad:  # else this step has nothing to teach
            loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.trained.values()), settings.clip)
        if torch.isfinite(loss) and torch.isfinite(norm):
            rate = learning_rate(
                step, peak=settings.learning_rate, warmup=settings.warmup, steps=settings.steps,
                final=settings.final,
            )  # fmt: skip
            set_rate(self.optimiser, rate)
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.item(), norm.item(), said

    def _record(
        self, step: int, loss: float, norm: float, said: dict[str, float], seconds: float
    ) -> None:
        self.progress.says(TASK, f"step {step + 1:,}, loss {loss:.3f}")
        self.progress.advanced(TASK, self.settings.batch)
        self.metrics.append(
            step=step, loss=loss, gradient_norm=norm, **said, seconds=round(seconds, 4)
        )

    def _save(self, step: int) -> Path:
        state = {STATE + name: value for name, value in self.lesson.state().items()}
        return self.checkpoints.save(step, {**self.trained, **state}, moments(self.optimiser))


def places(seed: int, count: int, batch: int, step: int) -> list[int]:
    """Which of ``count`` questions a step takes: passes over all of them, each shuffled anew.

    A function of the step, so a run that resumes needs no state of its stream.
    """
    import numpy as np

    chosen: list[int] = []
    for number in range(step * batch, (step + 1) * batch):
        lap, place = divmod(number, count)
        chosen.append(int(np.random.default_rng([seed, lap]).permutation(count)[place]))
    return chosen
