"""The speed of training is measured against a backbone that does no more than a backbone does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from model_helpers import retro

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import train_speed

from retro_cli.training.loop import summed_loss


@pytest.mark.parametrize("read", [True, False])
def test_only_the_side_that_reads_runs_encoder_and_cross_attention(read):
    model, ran = retro(64, freeze=False).train(), []
    for part in (model.added.encoder, *model.added.cca):
        part.register_forward_hook(lambda *_: ran.append(1))
    batch = train_speed.batch_of(1, 192, model.config.vocab_size, read)
    assert (batch.neighbour_ids is not None) == read
    summed_loss(model, batch, torch.device("cpu")).backward()
    assert len(ran) == (3 if read else 0)
