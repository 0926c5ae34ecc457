"""The nats of every token of a text under kNN-LM and with a memory, whole windows at a time.

What stepping through the text would give, without stepping. The first token has nothing before it
and is not scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from retro_cli.datastore.reader import Datastore
from retro_cli.evaluate.windows import plan_windows
from retro_cli.models.memorizing import MemorizingModel
from retro_cli.models.memory import Memory
from retro_cli.models.nearest import interpolated, noted_states, vote_logprobs, vote_weights
from retro_cli.readers.votes import Votes

Tensor = Any
Floats = npt.NDArray[np.float64]
_ROWS = 256  # states that vote together: 50 MB of logits for 49,152 tokens


@torch.inference_mode()  # type: ignore[untyped-decorator]
def knn_nats(
    network: Any, datastore: Datastore, votes: Sequence[Votes], ids: Sequence[int], window: int
) -> Floats:
    """(votes, tokens - 1) -ln p of each token after the first, for each choice of votes, of which
    ``keys`` is not asked. Windows of ``window`` tokens move by half of that."""
    found = np.empty((len(votes), len(ids) - 1))
    for each in plan_windows([len(ids)], window, max(1, window // 2)):
        end = each.start + each.inputs
        with noted_states(network) as noted:
            output = network(_batch(ids[each.start : end], network.device), use_cache=False)
        states = noted[0][0, each.skip :].float().cpu()
        logprobs = output.logits[0, each.skip :].float().cpu().log_softmax(dim=-1)
        first = each.start + each.skip
        targets = torch.tensor(list(ids[first + 1 : end + 1]))
        for start in range(0, len(targets), _ROWS):
            rows = slice(start, start + _ROWS)
            for number, choice in enumerate(votes):
                nats = _voted(datastore, choice, states[rows], logprobs[rows], targets[rows])
                found[number, first + start : first + start + len(nats)] = nats
    return found


def _voted(
    datastore: Datastore, votes: Votes, states: Tensor, logprobs: Tensor, targets: Tensor
) -> Floats:
    near = datastore.search(states.numpy(), votes.k)
    weights = vote_weights(torch.from_numpy(near.distances), votes.temperature)
    voted = vote_logprobs(weights, torch.from_numpy(near.values), logprobs.shape[1])
    mixed = interpolated(logprobs, voted, votes.weight)
    nats: Floats = -mixed.gather(1, targets[:, None])[:, 0].double().numpy()
    return nats


@torch.inference_mode()  # type: ignore[untyped-decorator]
def memory_nats(
    model: MemorizingModel, ids: Sequence[int], memory: Memory | None = None, *, learns: bool
) -> Floats:
    """(tokens - 1,) -ln p of each token after the first, window after window as in training: a
    window's first token is predicted from the window before it.

    memory: what is there from the beginning. learns: whether each window is then remembered.
    """
    found = np.empty(len(ids) - 1)
    for start in range(0, len(ids) - 1, model.window):
        stop = min(start + model.window, len(ids) - 1)
        passed = model(_batch(ids[start:stop], model.device), memory)
        logprobs = model.logits(passed.hidden[0]).log_softmax(dim=-1).cpu()
        targets = torch.tensor(list(ids[start + 1 : stop + 1]))
        found[start:stop] = -logprobs.gather(1, targets[:, None])[:, 0].double().numpy()
        if learns:
            memory = model.remembered(memory, passed.fresh)
    return found


@torch.inference_mode()  # type: ignore[untyped-decorator]
def memory_of(model: MemorizingModel, ids: Sequence[int]) -> Memory | None:
    """What a model remembers of a text, read window after window."""
    memory = None
    for start in range(0, len(ids), model.window):
        passed = model(_batch(ids[start : start + model.window], model.device), memory)
        memory = model.remembered(memory, passed.fresh)
    return memory


def _batch(ids: Sequence[int], device: Any) -> Tensor:
    return torch.tensor([list(ids)], device=device)
