"""The training loop: batches in, weights and a loss curve out, the same however often it stops."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retro_cli.errors import TrainingDiverged
from retro_cli.events import SILENT, Progress
from retro_cli.training.batches import Batch, Batches
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.metrics import Metrics
from retro_cli.training.optimiser import adamw, restore, set_rate
from retro_cli.training.optimiser import moments as moments_of
from retro_cli.training.schedule import learning_rate
from retro_cli.training.settings import TrainingSettings
from retro_cli.wording import counted

Tensor = Any
TASK = "training"
_SLOWER = "start again in another folder with a lower --learning-rate"


@dataclass(frozen=True)
class Outcome:
    """What a run did: steps taken now and in all, the losses of all, tokens/s of those taken."""

    steps_now: int
    steps: int
    losses: tuple[float, ...]
    tokens: int
    tokens_per_second: float
    checkpoint: str


class Trainer:
    """Trains whatever of a model requires gradients, with AdamW and a cosine schedule.

    Several devices share each step's batches; the gradient is that of the mean over all scored
    tokens of the step, however they are spread.
    """

    def __init__(
        self, model: Any, batches: Batches, settings: TrainingSettings, checkpoints: Checkpoints,
        metrics: Path, accelerator: Any, progress: Progress = SILENT,
    ) -> None:  # fmt: skip
        """accelerator: an ``accelerate.Accelerator``; see ``devices.accelerator``."""
        self.settings, self.batches, self.progress = settings, batches, progress
        self.checkpoints, self.accelerator = checkpoints, accelerator
        self.bare = model
        self._passes = settings.passes_each(self._processes)
        self.trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        optimiser = adamw(self.trained, settings.betas, settings.weight_decay)
        self.model, self.optimiser = accelerator.prepare(model, optimiser)
        self.first = self._resume()
        self.metrics = Metrics(metrics, self.first) if accelerator.is_main_process else None

    def _resume(self) -> int:
        last = self.checkpoints.last()
        if last is None:
            return 0
        step, weights, moments = self.checkpoints.load(last)
        restore(self.trained, self.optimiser.optimizer, weights, moments)
        self.progress.note(f"resuming after step {step:,} of {self.settings.steps:,} ({last})")
        return step

    def run(self) -> Outcome:
        """Take the steps that are left. Raises TrainingDiverged, DiskFull."""
        settings, begun, tokens = self.settings, time.monotonic(), 0
        left = (settings.steps - self.first) * settings.sequence * settings.accumulate
        left *= settings.batch
        self.progress.note(
            f"training in {counted(self._processes, 'process', 'processes')} on "
            f"{self.accelerator.device.type}, {settings.accumulate * settings.batch:,} sequences "
            "a step"
        )
        self._train_mode()
        self.progress.started(TASK, left, "tokens")
        checkpoint = self.checkpoints.last()
        with ThreadPoolExecutor(1) as ahead:
            waiting: Future[list[Batch]] = ahead.submit(self._of_step, self.first)
            for step in range(self.first, settings.steps):
                batches = waiting.result()
                waiting = ahead.submit(self._of_step, step + 1)
                started = time.monotonic()
                loss, norm = self._step(step, batches)
                if not math.isfinite(loss) or not math.isfinite(norm):
                    raise diverged(step, loss, norm, checkpoint)
                seen = sum(batch.input_ids.size for batch in batches) * self._processes
                tokens += seen
                self._record(step, loss, norm, seen, time.monotonic() - started)
                done = step + 1
                if done % settings.save_every == 0 or done == settings.steps:
                    check_weights(self.trained, done, checkpoint)
                    checkpoint = self._save(done) or checkpoint
        self.progress.finished(TASK)
        seconds = max(time.monotonic() - begun, 1e-9)
        losses = tuple(line["loss"] for line in self.metrics.lines) if self.metrics else ()
        return Outcome(
            settings.steps - self.first, settings.steps, losses, tokens,
            tokens / seconds, str(checkpoint or ""),
        )  # fmt: skip

    @property
    def _processes(self) -> int:
        return int(self.accelerator.num_processes)

    def _train_mode(self) -> None:
        self.model.train()
        if not any(p.requires_grad for p in self.bare.backbone.parameters()):
            self.bare.backbone.eval()  # what is frozen behaves as it will later

    def _of_step(self, step: int) -> list[Batch]:
        """This process's batches of a step."""
        first = step * self.settings.accumulate + self.accelerator.process_index
        return [self.batches.at(first + turn * self._processes) for turn in range(self._passes)]

    def _step(self, step: int, batches: list[Batch]) -> tuple[float, float]:
        """One update; its mean loss in nats a token, and the norm of the gradient before it."""
        settings, device = self.settings, self.accelerator.device
        torch.manual_seed(hash((settings.seed, step, self.accelerator.process_index)))
        mine = torch.tensor(float(sum(batch.scored for batch in batches)), device=device)
        scored = self.accelerator.reduce(mine, "sum").clamp(min=1.0)
        total = torch.zeros((), device=device)
        for turn, batch in enumerate(batches):
            last = turn == len(batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                nats = summed_loss(self.model, batch, device)
                self.accelerator.backward(nats * (self._processes / scored))
            total += nats.detach()
        loss = self.accelerator.reduce(total, "sum") / scored
        norm = self.accelerator.clip_grad_norm_(list(self.trained.values()), settings.clip)
        rate = learning_rate(
            step, peak=settings.learning_rate, warmup=settings.warmup, steps=settings.steps,
            final=settings.final,
        )  # fmt: skip
        if torch.isfinite(loss) and torch.isfinite(norm):
            set_rate(self.optimiser, rate)
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return float(loss), float(norm)

    def _record(self, step: int, loss: float, norm: float, tokens: int, seconds: float) -> None:
        self.progress.says(TASK, f"step {step + 1:,}, loss {loss:.3f}")
        self.progress.advanced(TASK, tokens)
        if self.metrics is not None:
            self.metrics.append(
                step=step, loss=loss, gradient_norm=norm, tokens=tokens,
                seconds=round(seconds, 4),
            )  # fmt: skip

    def _save(self, step: int) -> Path | None:
        path = None
        if self.accelerator.is_main_process:
            path = self.checkpoints.save(step, self.trained, moments_of(self.optimiser.optimizer))
        self.accelerator.wait_for_everyone()
        return path


def summed_loss(model: Any, batch: Batch, device: Any) -> Tensor:
    """The negative log-likelihood of a batch's scored tokens, in nats, summed."""
    read = batch.neighbour_ids
    return model(
        input_ids=torch.from_numpy(batch.input_ids).to(device),
        labels=torch.from_numpy(batch.labels).to(device),
        position_ids=torch.from_numpy(batch.position_ids).to(device),
        neighbour_ids=None if read is None else torch.from_numpy(read).to(device),
        use_cache=False, summed=True,
    ).loss  # fmt: skip


def check_weights(trained: dict[str, Tensor], step: int, checkpoint: Path | None) -> None:
    """An update may break weights whose loss was a number. Raises TrainingDiverged."""
    for name, weight in trained.items():
        if not torch.isfinite(weight).all():
            raise TrainingDiverged(
                f"{name} holds what is no number after step {step:,}; {_kept(checkpoint)}", _SLOWER
            )


def diverged(step: int, loss: float, norm: float, checkpoint: Path | None) -> TrainingDiverged:
    what = f"loss {loss}, gradient norm {norm}"
    return TrainingDiverged(
        f"the loss is no number at step {step + 1:,} ({what}); {_kept(checkpoint)}", _SLOWER
    )


def _kept(checkpoint: Path | None) -> str:
    return f"the last good weights are in {checkpoint}" if checkpoint else "nothing was saved yet"
