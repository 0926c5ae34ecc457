"""Training: the same curve however often it is killed, and nothing frozen that moves."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from model_helpers import base
from training_helpers import SETTINGS, M, losses, material, scratch, trainer

from retro_cli.errors import IntegrityError, TrainingDiverged, UsageError
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import weights_hash
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.devices import bf16_pays
from retro_cli.training.loop import Trainer
from retro_cli.training.schedule import learning_rate
from retro_cli.training.settings import (
    FIT_PRESETS,
    SCRATCH_PRESETS,
    preset,
)


def fitted():
    return RetroForCausalLM.from_base(
        base(), chunk_length=M, cca_layers=[2, 3], encoder_width=12, encoder_heads=3
    )


class Stops(Exception):
    pass


def stop_at(step):
    """A trainer's record that gives up when a step is done, as a kill would."""

    def record(self, number, *rest):
        original(self, number, *rest)
        if number + 1 == step:
            raise Stops

    original = Trainer._record
    return record


@pytest.mark.parametrize("step", [1, 4, 5, 6, 10, 11])
@pytest.mark.parametrize("make", [scratch, fitted])
def test_a_run_that_stopped_goes_on_with_the_same_curve_and_ends_with_the_same_weights(
    make, step, tmp_path, monkeypatch
):
    whole, broken = make(), make()
    (tmp_path / "whole").mkdir()
    trainer(tmp_path / "whole", whole).run()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_record", stop_at(step))
        with pytest.raises(Stops):
            trainer(tmp_path / "broken", broken).run()
    again = make()
    outcome = trainer(tmp_path / "broken", again).run()
    assert outcome.steps_now == SETTINGS.steps - 5 * (max(0, step - 1) // 5)
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    assert weights_hash(again) == weights_hash(whole)
    assert losses(tmp_path / "whole")[-1] < losses(tmp_path / "whole")[0]


def test_fitting_moves_what_was_added_and_not_a_bit_of_the_base(tmp_path):
    model = fitted()
    before, added = model.config.base_hash, weights_hash(model.added)
    trainer(tmp_path, model).run()
    assert weights_hash(model.backbone) == before == weights_hash(base())
    assert weights_hash(model.added) != added
    assert all(weight.grad is None for weight in model.backbone.parameters())


def test_from_scratch_everything_moves(tmp_path):
    model = scratch()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    trainer(tmp_path, model).run()
    same = [name for name, weight in model.named_parameters() if torch.equal(before[name], weight)]
    assert same == []


def test_the_gradient_of_accumulated_batches_is_that_of_one_large_batch(tmp_path):
    curves = []
    for batch, accumulate in ((4, 1), (1, 4)):
        folder = tmp_path / f"{batch}"
        folder.mkdir()
        settings = SETTINGS.changed(batch=batch, accumulate=accumulate, steps=4)
        # 21 rows of 4 make five sequences and a bit: every one of the four is full.
        given = material((16,) * 8)
        trainer(folder, scratch(), settings, given).run()
        curves.append(losses(folder))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_last_good_checkpoint(tmp_path):
    model = scratch()
    running = trainer(tmp_path, model)
    original = running._step

    def step(number, batches):
        if number == 7:
            with torch.no_grad():
                next(model.added.parameters()).fill_(math.nan)
        return original(number, batches)

    running._step = step
    with pytest.raises(TrainingDiverged, match=r"step 8\b.*step-0000005"):
        running.run()
    kept = Checkpoints(tmp_path / "checkpoints", "run")
    at, weights, _ = kept.load(kept.last())
    assert at == 5
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_weights_that_an_update_broke_are_not_saved(tmp_path):
    model = scratch()
    running = trainer(tmp_path, model)
    original = running._step

    def step(number, batches):
        found = original(number, batches)
        if number == 9:  # the last before a checkpoint; its own loss was a number
            with torch.no_grad():
                next(model.added.parameters()).fill_(math.inf)
        return found

    running._step = step
    with pytest.raises(TrainingDiverged, match=r"after step 10\b.*step-0000005"):
        running.run()
    kept = Checkpoints(tmp_path / "checkpoints", "run")
    assert [path.name for path in kept.all()] == ["step-0000005"]
    assert kept.load(kept.last())[0] == 5


def test_a_damaged_checkpoint_is_not_resumed_from(tmp_path):
    trainer(tmp_path, scratch()).run()
    last = Checkpoints(tmp_path / "checkpoints", "run").last()
    data = bytearray((last / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (last / "weights.safetensors").write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match="damaged"):
        trainer(tmp_path, scratch())


def test_only_the_last_two_checkpoints_stay_and_half_written_ones_do_not_count(tmp_path):
    trainer(tmp_path, scratch(), SETTINGS.changed(save_every=3)).run()
    kept = Checkpoints(tmp_path / "checkpoints", "run")
    assert [path.name for path in kept.all()] == ["step-0000009", "step-0000012"]
    (tmp_path / "checkpoints" / "step-0000013.tmp").mkdir()
    (tmp_path / "checkpoints" / "step-0000014").mkdir()
    assert kept.last().name == "step-0000012"
    assert Checkpoints(tmp_path / "checkpoints", "another").last() is None


def test_the_rate_rises_to_its_peak_and_falls_to_a_tenth():
    rates = [learning_rate(s, peak=1.0, warmup=10, steps=110) for s in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[110] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_bfloat16_is_chosen_where_the_processor_multiplies_it():
    assert bf16_pays("fpu avx2 avx512_bf16 sha_ni")
    assert bf16_pays("amx_bf16")
    assert not bf16_pays("fpu avx2 avx512f")


def test_in_bfloat16_the_weights_stay_in_float32(tmp_path):
    model = scratch()
    trainer(tmp_path, model, SETTINGS.changed(precision="bf16")).run()
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]


@pytest.mark.parametrize("presets", [SCRATCH_PRESETS, FIT_PRESETS])
def test_every_preset_says_what_it_is_for_and_an_unknown_one_lists_them(presets):
    assert all(value.says for value in presets.values())
    with pytest.raises(UsageError) as caught:
        preset("huge", presets)
    assert all(name in caught.value.hint for name in presets)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"learning_rate": 0.0}, {"learning_rate": 3.0}, {"precision": "fp8"}],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(UsageError):
        SETTINGS.changed(**wrong)


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from training_helpers import scratch, trainer
from retro_cli.training.loop import Trainer
original = Trainer._record
def record(self, number, *rest):
    original(self, number, *rest)
    if number + 1 == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
Trainer._record = record
trainer(Path({folder!r}), scratch()).run()
"""


def test_a_killed_process_leaves_a_run_that_ends_as_if_nothing_had_happened(tmp_path):
    (tmp_path / "whole").mkdir()
    trainer(tmp_path / "whole", scratch()).run()
    paths = [str(Path(__file__).parent.parent)]
    script = KILLED.format(paths=paths, step=8, folder=str(tmp_path / "killed"))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, env=os.environ)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert len(losses(tmp_path / "killed")) == 8
    trainer(tmp_path / "killed", scratch()).run()
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert [
        json.loads(x)["step"]
        for x in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    ] == list(range(12))
