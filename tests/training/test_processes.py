"""Several processes share a step: one writes, and the curve is that of one process alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_helpers import SETTINGS, losses, material, scratch, trainer

SCRIPT = """
import sys
sys.path[:0] = {paths!r}
import torch
torch.set_num_threads(1)
from pathlib import Path
from training_helpers import SETTINGS, material, scratch, trainer
from retro_cli.training.devices import once
settings = SETTINGS.changed(accumulate=2, steps=4)
folder = Path({folder!r})
once(lambda: (folder / "once").write_text((folder / "once").read_text() + "x"))
trainer(folder, scratch(), settings, material((16,) * 8)).run()
"""


pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without processes"
)


def in_two_processes(*program: object) -> subprocess.CompletedProcess[str]:
    """Run a script, or a module after -m, as ``accelerate launch`` would."""
    ended = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
            "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", *map(str, program),
        ],
        capture_output=True, text=True, timeout=280,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended


def test_two_processes_take_the_steps_of_one_that_accumulates(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "once").write_text("")
    settings = SETTINGS.changed(accumulate=2, steps=4)
    trainer(tmp_path / "one", scratch(), settings, material((16,) * 8)).run()
    paths = [str(Path(__file__).parent.parent)]
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(paths=paths, folder=str(tmp_path / "two")))
    in_two_processes(script)
    assert (tmp_path / "two" / "once").read_text() == "x"
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


def test_the_command_in_two_processes_makes_the_model_that_one_makes(
    retro, archive, static_encoder, bpe_path, tmp_path
):
    cut = ["--encoder", static_encoder, "--tokenizer", bpe_path, "--cut", "exact"]
    assert retro("build", archive, "--db", "a.db", *cut).code == 0
    asked = [
        "train", "a.db", "--cca-layers", "2", "--encoder-width", 16, "--encoder-heads", 2,
        "--steps", 3, "--sequence", 128, "--batch", 1, "--accumulate", 2, "--precision", "fp32",
    ]  # fmt: skip
    ended = in_two_processes("-m", "retro_cli", *asked, "--out", "two")
    assert ended.stderr.count("train: 3 steps") == 1
    assert ended.stderr.count("training in 2 processes") == 1
    one = retro(*asked, "--out", "one")
    assert one.code == 0
    assert "training in 1 process on cpu" in one.err
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    for name in ("config.json", "tokenizer.json", "training.json", "loss.svg"):
        assert (tmp_path / "two" / name).is_file()
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert torch.allclose(weight, two[name], atol=1e-3), name
