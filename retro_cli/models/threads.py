"""How many threads torch computes with."""

from __future__ import annotations

import os

import torch

from retro_cli.engine.local import cores


def use_all_cores() -> None:
    """As many as OMP_NUM_THREADS says, or all cores. Libraries that ran before torch was imported
    can have left its threads at one, whatever it says of them."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or cores()))
