"""The presets name the runs that they say."""

from __future__ import annotations

import pytest

from retro_cli.errors import UsageError
from retro_cli.training.settings import FIT_PRESETS, SCRATCH_PRESETS, TrainingSettings

# Borgeaud et al. 2021, table 2: layers, width, heads, layers with cross-attention, counted from 1.
PAPER = {
    "172m": (12, 896, 16, [6, 9, 12]),
    "425m": (12, 1536, 12, [6, 9, 12]),
    "1.5b": (24, 2048, 16, [9, 12, 15, 18, 21, 24]),
    "7.5b": (32, 4096, 32, [9, 12, 15, 18, 21, 24, 27, 30]),
}


@pytest.mark.parametrize("name", list(PAPER))
def test_the_papers_sizes_are_the_papers(name):
    preset = SCRATCH_PRESETS[name]
    layers, width, heads, reading = PAPER[name]
    shape = preset.base
    assert (shape["num_hidden_layers"], shape["hidden_size"]) == (layers, width)
    assert shape["num_attention_heads"] == heads
    assert preset.added["cca_layers"] == reading
    assert (preset.added["encoder_width"], preset.added["encoder_layers"]) == (896, 2)


def test_every_preset_trains_on_sequences_of_whole_chunks():
    for preset in (*FIT_PRESETS.values(), *SCRATCH_PRESETS.values()):
        assert preset.training.sequence % 64 == 0


@pytest.mark.parametrize(("processes", "passes"), [(1, 32), (2, 16), (32, 1)])
def test_processes_share_the_passes_of_a_step(processes, passes):
    assert SCRATCH_PRESETS["172m"].training.passes_each(processes) == passes


def test_a_step_that_processes_cannot_share_is_refused_with_one_that_they_can():
    settings = TrainingSettings(batch=8, accumulate=2)
    with pytest.raises(UsageError) as caught:
        settings.passes_each(4)
    assert "--batch 4 --accumulate 4" in caught.value.hint
    same = settings.changed(batch=4, accumulate=4)
    assert same.batch * same.accumulate == settings.batch * settings.accumulate
    assert same.passes_each(4) == 1
    with pytest.raises(UsageError, match="3 processes") as caught:
        settings.passes_each(3)
    assert "--accumulate 3" in caught.value.hint


# Tokens a second that two cores took of these shapes, while other work ran: see docs/results.md.
@pytest.mark.parametrize(("presets", "rate"), [(FIT_PRESETS, 364), (SCRATCH_PRESETS, 762)])
def test_tiny_leaves_a_tenth_of_its_ten_minutes_to_spare_at_speeds_that_were_measured(
    presets, rate
):
    run = presets["tiny"].training
    assert run.steps * run.accumulate * run.batch * run.sequence / rate < 0.9 * 600


def test_fitting_for_minutes_is_fitting_for_an_hour_with_fewer_steps():
    tiny, hour = FIT_PRESETS["tiny"], FIT_PRESETS["cpu-hour"]
    assert tiny.added == hour.added
    assert (tiny.added["cca_layers"], tiny.added["encoder_layers"]) == ("late", 1)
    same = ("sequence", "batch", "accumulate", "learning_rate", "warmup")
    assert all(getattr(tiny.training, name) == getattr(hour.training, name) for name in same)
    assert tiny.training.steps < hour.training.steps
