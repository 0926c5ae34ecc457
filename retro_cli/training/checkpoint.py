"""Where a run stands on the disk: folders that are whole or not there, without pickles."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retro_cli.errors import IntegrityError
from retro_cli.store.atomic import (
    TEMPORARY,
    disk_errors,
    file_sha256,
    json_bytes,
    read_json,
    sync_file,
    sync_folder,
)

Tensor = Any
STATE, WEIGHTS, OPTIMISER = "state.json", "weights.safetensors", "optimiser.safetensors"
PREFIX = "step-"
KEPT = 2


@dataclass(frozen=True)
class Standing:
    """step: updates that are done; the next batch follows from it. run: whose steps they are."""

    step: int
    run: str


class Checkpoints:
    """The checkpoints of one run: each a folder with the trained weights, the optimiser's moments
    and a state file that has their hashes."""

    def __init__(self, folder: Path, run: str) -> None:
        """run: the fingerprint of everything that shapes the loss curve."""
        self.folder, self.run = folder, run

    def save(self, step: int, weights: dict[str, Tensor], moments: dict[str, Tensor]) -> Path:
        """Write one, then remove all but the last two. Raises DiskFull; the others stay whole."""
        from safetensors.torch import save_file

        final = self.folder / f"{PREFIX}{step:07d}"
        staging = self.folder / f"{final.name}{TEMPORARY}"
        shutil.rmtree(staging, ignore_errors=True)
        with disk_errors(self.folder):
            staging.mkdir(parents=True)
            hashes = {}
            for name, tensors in ((WEIGHTS, weights), (OPTIMISER, moments)):
                save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()},
                          staging / name)  # fmt: skip
                hashes[name] = file_sha256(staging / name)
                sync_file(staging / name)
            state = {**asdict(Standing(step, self.run)), "sha256": hashes}
            (staging / STATE).write_bytes(json_bytes(state))
            sync_file(staging / STATE)
            shutil.rmtree(final, ignore_errors=True)
            staging.rename(final)
            sync_folder(self.folder)
        for old in self.all()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def all(self) -> list[Path]:
        """The folders of whole checkpoints, the oldest first."""
        found = self.folder.glob(f"{PREFIX}*")
        return sorted(p for p in found if p.suffix != TEMPORARY and (p / STATE).is_file())

    def last(self) -> Path | None:
        """The last one of this run, or None."""
        for path in reversed(self.all()):
            if read_json(path / STATE)["run"] == self.run:
                return path
        return None

    def load(self, path: Path) -> tuple[int, dict[str, Tensor], dict[str, Tensor]]:
        """(step, weights, moments). Raises IntegrityError where a byte is not as it was."""
        from safetensors.torch import load_file

        state = read_json(path / STATE)
        for name, sha256 in state["sha256"].items():
            if not (path / name).is_file() or file_sha256(path / name) != sha256:
                raise IntegrityError(
                    f"{path / name} is damaged",
                    f"remove {path}; the run resumes from the one before",
                )
        return state["step"], load_file(path / WEIGHTS), load_file(path / OPTIMISER)

    def clear(self) -> None:
        """The run is over: its model is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
