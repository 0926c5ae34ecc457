"""The folder of a course: one run, resumed until it is over, then what it learned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.store.atomic import json_bytes, read_json, write_bytes
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.course import Course, CourseSettings, Lesson, Outcome
from retro_cli.training.metrics import loss_plot
from retro_cli.training.run import CHECKPOINTS, METRICS, PLOT, RECORD

_MODEL = ("config.json", "modules.json", "model.safetensors")
_FOLDERS = (CHECKPOINTS, "query-encoder", "document-encoder")


@dataclass(frozen=True)
class CourseFolder:
    """out: the folder. run: the fingerprint of everything that shapes the loss curve."""

    out: Path
    run: str

    def begin(self, *, overwrite: bool = False) -> bool:
        """Make it ready; whether anything is left to do.

        Raises UsageError for a folder that holds another run, or a model that no run made.
        """
        if overwrite:
            self._clear()
        record = read_json(self.out / RECORD) if (self.out / RECORD).is_file() else None
        if record is not None and record.get("run") == self.run:
            return False
        checkpoints = self.checkpoints
        if record is not None or (checkpoints.all() and checkpoints.last() is None):
            raise UsageError(
                f"{self.out} holds another training run (of other settings, questions or models)",
                "name another folder with --out, or --overwrite it",
            )
        if not checkpoints.all() and any((self.out / name).exists() for name in _MODEL):
            raise UsageError(f"{self.out} holds a model already", "name another folder with --out")
        self.out.mkdir(parents=True, exist_ok=True)
        return True

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.out / CHECKPOINTS, self.run)

    def learn(
        self, lesson: Lesson, settings: CourseSettings, save: Callable[[Path], dict[str, Any]],
        unit: str, progress: Progress = SILENT,
    ) -> Outcome:  # fmt: skip
        """Train to the end, from wherever an earlier run stopped, and write what was learned.

        save: writes the models into the folder; what the record says of them. unit: what the loss
        is in. Raises TrainingDiverged, DiskFull, IntegrityError.
        """
        outcome = Course(lesson, settings, self.checkpoints, self.out / METRICS, progress).run()
        said = save(self.out)
        title = f"loss in nats a {unit}, {outcome.steps:,} steps"
        write_bytes(self.out / PLOT, loss_plot(list(outcome.losses), title).encode())
        last = outcome.losses[-1] if outcome.losses else None
        record = {"run": self.run, "settings": settings.to_json(), "last_loss": last, **said}
        write_bytes(self.out / RECORD, json_bytes(record))
        self.checkpoints.clear()
        return outcome

    def _clear(self) -> None:
        """Remove an earlier run's files, and nothing else."""
        if not ((self.out / RECORD).is_file() or self.checkpoints.all()):
            return
        for name in _FOLDERS:
            shutil.rmtree(self.out / name, ignore_errors=True)
        for name in (RECORD, METRICS, PLOT, *_MODEL):
            (self.out / name).unlink(missing_ok=True)
