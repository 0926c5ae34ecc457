"""Several processes share a step: one writes, and the curve is that of one process alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_helpers import SETTINGS, losses, material, scratch, trainer

SCRIPT = """
import sys
sys.path[:0] = {paths!r}
import torch
torch.set_num_threads(1)
from pathlib import Path
from training_helpers import SETTINGS, material, scratch, trainer
from retro_cli.training.devices import once
settings = SETTINGS.changed(accumulate=1, steps=4)
folder = Path({folder!r})
once(lambda: (folder / "once").write_text((folder / "once").read_text() + "x"))
trainer(folder, scratch(), settings, material((16,) * 8)).run()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without processes")
def test_two_processes_take_the_steps_of_one_that_accumulates(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "once").write_text("")
    settings = SETTINGS.changed(accumulate=2, steps=4)
    trainer(tmp_path / "one", scratch(), settings, material((16,) * 8)).run()
    paths = [str(Path(__file__).parent.parent)]
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(paths=paths, folder=str(tmp_path / "two")))
    ended = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
            "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", str(script),
        ],
        capture_output=True, text=True, timeout=280,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "two" / "once").read_text() == "x"
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
