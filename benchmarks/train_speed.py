"""How fast ``retro fit`` and ``retro train`` learn, against training the same backbone alone.

python benchmarks/train_speed.py --base FOLDER

Both sides of a pair take whole steps (forward, backward, AdamW) on the same sequences, in turn,
in bfloat16 where the processor multiplies it. Tokens and weights are random: values cost nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import alternate, ratio, say
from results import FOLDER, Line, Result
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.utils import logging

from retro_cli.models.retro import RetroForCausalLM
from retro_cli.training.batches import IGNORED, Batch
from retro_cli.training.devices import accelerator
from retro_cli.training.loop import summed_loss
from retro_cli.training.settings import FIT_PRESETS, SCRATCH_PRESETS

FIT, SCRATCH = FIT_PRESETS["cpu-hour"], SCRATCH_PRESETS["tiny"]
VOCABULARY = 49_152
M, K = 64, 2


def batch_of(size: int, length: int, vocabulary: int, read: bool) -> Batch:
    random = np.random.default_rng(0)
    ids = random.integers(vocabulary, size=(size, length))
    labels = ids.copy()
    labels[:, 0] = IGNORED
    places = np.broadcast_to(np.arange(length), ids.shape).copy()
    neighbours = random.integers(vocabulary, size=(size, length // M - 1, K, 2 * M))
    return Batch(ids, labels, places, neighbours if read else None)


def stepping(model: Any, batch: Batch) -> Callable[[int], float]:
    """Tokens a second of one whole step."""
    prepare = accelerator("auto")
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    model, optimiser = prepare.prepare(model.train(), optimiser)

    def step(_: int) -> float:
        begun = time.perf_counter()
        prepare.backward(summed_loss(model, batch, prepare.device) / batch.scored)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return batch.input_ids.size / (time.perf_counter() - begun)

    step(0)  # the first allocates
    return step


def pair(
    title: str, reading: Any, plain: Any, training: Any, limit: float, rounds: int
) -> tuple[Line, dict[str, float]]:
    size, length, vocabulary = training.batch, training.sequence, reading.config.vocab_size
    sides = {
        "RETRO, tokens/s": stepping(reading, batch_of(size, length, vocabulary, True)),
        "backbone, tokens/s": stepping(plain, batch_of(size, length, vocabulary, False)),
    }
    found = alternate(sides, rounds)
    value = ratio(found["RETRO, tokens/s"], found["backbone, tokens/s"])
    medians = {name: float(np.median(values)) for name, values in found.items()}
    measured = f"{value:.2f}x ({', '.join(f'{v:,.0f} {n}' for n, v in medians.items())})"
    target = f"at least {limit}x" if limit else "no target"
    return Line(title, target, measured, value, limit, True, found), medians


def arithmetic(model: RetroForCausalLM, read: bool) -> int:
    """Floating point operations of one step of the tiny preset, forward and backward."""
    size, length = SCRATCH.training.batch, SCRATCH.training.sequence
    batch = batch_of(size, length, model.config.vocab_size, read)
    with FlopCounterMode(display=False) as counter:
        summed_loss(model.train(), batch, torch.device("cpu")).backward()
    return int(counter.get_total_flops())


def measure(base: Path, rounds: int, threads: int) -> Result:
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    fitted = RetroForCausalLM.from_base(base, **FIT.added)
    whole = RetroForCausalLM.from_base(
        AutoModelForCausalLM.from_pretrained(base, local_files_only=True), freeze=False, **FIT.added
    )
    fit, _ = pair(
        "fitting SmolLM2-135M against training all of it", fitted, _bare(whole), FIT.training,
        0.75, rounds,
    )  # fmt: skip
    config = LlamaConfig(vocab_size=VOCABULARY, **SCRATCH.base)
    make = partial(RetroForCausalLM.from_config, config, **SCRATCH.added)
    share = arithmetic(_bare(make()), False) / arithmetic(make(), True)
    scratch, _ = pair(
        "training RETRO from scratch (tiny) against its backbone alone, which takes "
        f"{share:.2f} of its arithmetic",
        make(), _bare(make()), SCRATCH.training, 0, rounds,
    )  # fmt: skip
    facts = {"threads": threads, "precision": accelerator("auto").mixed_precision}
    return Result("train_speed", [fit, scratch], facts)


def _bare(model: RetroForCausalLM) -> RetroForCausalLM:
    """The same class, so that the loss is computed alike; only the backbone is trained."""
    model.added.requires_grad_(False)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the speed of training.")
    parser.add_argument("--base", type=Path, required=True, help="the folder of a base model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    result = measure(given.base, given.rounds, given.threads)
    for line in result.lines:
        say(f"{line.what}: {line.measured} ({line.target})")
    say(f"{result.save(given.results, False)}")


if __name__ == "__main__":
    main()
