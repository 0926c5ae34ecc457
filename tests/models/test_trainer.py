"""The ecosystem's own training loop takes the model as it takes any other."""

from __future__ import annotations

import pytest
import torch
from model_helpers import retro, tokens
from transformers import Trainer, TrainingArguments

from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import weights_hash


class Rows(torch.utils.data.Dataset):
    def __init__(self, count):
        self.ids, self.neighbours = tokens(count, 12), tokens(count, 3, 2, 8, seed=1)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, row):
        return {
            "input_ids": self.ids[row], "labels": self.ids[row],
            "neighbour_ids": self.neighbours[row],
        }  # fmt: skip


@pytest.mark.parametrize("freeze", [True, False])
def test_a_trainer_lowers_the_loss_and_its_checkpoint_opens_again(freeze, tmp_path):
    model = retro(4, shake=False, freeze=freeze)
    before = weights_hash(model.backbone)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=30, per_device_train_batch_size=8, learning_rate=2e-2,
        logging_steps=1, report_to=[], use_cpu=True, seed=0, save_strategy="no",
        disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=Rows(8))
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[-1] < losses[0]
    assert (weights_hash(model.backbone) == before) == freeze
    trainer.save_model(str(tmp_path / "out"))
    again = RetroForCausalLM.from_pretrained(tmp_path / "out")
    assert weights_hash(again) == weights_hash(model)
