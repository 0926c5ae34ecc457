"""Where the added weights begin: as an induction head over the neighbours.

A fresh cross-attention reads neighbours evenly, and what it reads is nearly the same whatever
they say: it takes very many tokens until it looks for anything. What it has to find first is
known (Olsson et al. 2022, section "induction heads"): the place in a neighbour where the present
token occurs, and the token after it. All of RETRO's parts for that are there, so they are set:

* the encoder's input map keeps the directions in which the token embeddings differ most, and
  makes them equal;
* its first self-attention adds, to each token, a rotation of the one before it (by the bias of
  the distance one);
* a CCA key reads that rotated token, its query the present token, by a linear map found by
  least squares from the base's own hidden states;
* a CCA value reads the token itself, and the output projection adds a little of its embedding.

How little decides what is lost before training has learned when to trust it. The shape and the
equations of the model are untouched; weights as fine as these want a small learning rate.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from retro_cli.models.families import attention_parts

Tensor = Any
SHARPNESS = 40.0  # of the logit of a token that matches, if the least squares were exact
GATE = 0.5  # of a unit embedding, where all of the attention is on one token
PREVIOUS = 12.0  # the bias that makes attention look one token back
RIDGE = 1e-2
SAMPLE_ROWS, SAMPLE_LENGTH = 64, 4  # stretches of the material, and chunks in each


def sample_of(tokens: npt.NDArray[np.int32]) -> Tensor:
    """(rows, tokens) int64 from all over a material's (n, m) rows, none with a gap in it."""
    whole = tokens[(tokens >= 0).all(axis=1)]
    length = max(1, min(SAMPLE_LENGTH, len(whole)))
    firsts = np.linspace(0, max(0, len(whole) - length), SAMPLE_ROWS).astype(np.int64)
    picked = whole[np.unique(firsts)[:, None] + np.arange(length)]
    return torch.from_numpy(picked.reshape(len(picked), -1).astype(np.int64))


@torch.no_grad()  # type: ignore[untyped-decorator]
def begin_as_induction(model: Any, sample: Tensor) -> None:
    """Set the added weights of a fitted model in place.

    sample: (rows, tokens) int64 of the text to train on; some ten thousand tokens are enough.
    """
    config, added = model.config, model.added
    generator = torch.Generator().manual_seed(config.seed)
    device = model.device
    embedded = _unit(model.get_input_embeddings().weight.float())
    directions = _directions(embedded, config.encoder_width)
    added.encoder.embedding_map.weight.copy_(directions)
    rotation = _orthogonal(config.encoder_width, config.encoder_width, generator).to(device)
    _look_back(added.encoder.layers[0].attention, rotation)
    back = torch.linalg.pinv(directions)
    states = _after_attention(model.backbone, config.cca_layers, sample.to(device))
    wanted = (embedded[sample.to(device)] @ directions.T).flatten(end_dim=1)
    for state, cca in zip(states, added.cca, strict=True):
        found = _least_squares(_unit(state.float()).flatten(end_dim=1), wanted)
        heads, width = cca.attention.heads, config.hidden_size // cca.attention.heads
        views = [_orthogonal(width, config.encoder_width, generator) for _ in range(heads)]
        view = torch.cat(views).to(device)
        matched = (wanted @ view[:width].T).square().sum(dim=-1).mean()
        scale = (SHARPNESS * width**0.5 / matched).sqrt()
        cca.attention.query.weight.copy_(scale * view @ found.T)
        cca.attention.key.weight.copy_(scale * view @ rotation.T)
        cca.attention.value.weight.copy_(view)
        cca.attention.output.weight.copy_(GATE * back @ torch.linalg.pinv(view))


def _after_attention(base: Any, layers: list[int], sample: Tensor) -> list[Tensor]:
    """(rows, tokens, width) of each layer: what its cross-attention would be given."""
    residuals: dict[int, Tensor] = {}
    found: dict[int, Tensor] = {}

    def before(number: int, _norm: Any, given: tuple[Tensor, ...]) -> None:
        residuals[number] = given[0]

    def after(number: int, _attention: Any, _given: Any, output: tuple[Any, ...]) -> None:
        found[number] = residuals.pop(number) + output[0]

    hooks = []
    for number in layers:
        norm, attention = attention_parts(base, number)
        hooks.append(norm.register_forward_pre_hook(partial(before, number)))
        hooks.append(attention.register_forward_hook(partial(after, number)))
    try:
        base(sample, use_cache=False, logits_to_keep=1)
    finally:
        for hook in hooks:
            hook.remove()
    return [found[number] for number in layers]


def _look_back(attention: Any, rotation: Tensor) -> None:
    """Each token gets the rotated one before it, at about its own size."""
    longest = (attention.distance_bias.shape[1] + 1) // 2
    attention.distance_bias[:, longest] = PREVIOUS  # the row of distance one: see encoder.py
    attention.query.weight.mul_(0.1)
    attention.value.weight.copy_(rotation)
    attention.output.weight.copy_(torch.eye(len(rotation), device=rotation.device))


def _unit(x: Tensor) -> Tensor:
    """Rows of root mean square one, as RMSNorm gives them."""
    return x / x.square().mean(dim=-1, keepdim=True).add(1e-6).sqrt()


def _directions(embedded: Tensor, count: int) -> Tensor:
    """(count, width): a map under which embeddings differ about as much in every direction.

    The principal directions without the mean, each divided by the root of its spread; where more
    are asked for than there are, the rest are zero.
    """
    mean = embedded.mean(dim=0, keepdim=True)
    along = mean / mean.norm()
    centred = embedded - mean
    centred = centred - (centred @ along.T) * along
    spread, vectors = torch.linalg.eigh(centred.T @ centred / len(embedded))
    spread, rows = spread.flip(0)[:count], vectors.T.flip(0)[:count]
    real = spread > 1e-4 * spread[0]  # the mean's own direction, for one, is empty
    rows = torch.where(real, spread, torch.inf)[:, None] ** -0.5 * rows
    return torch.nn.functional.pad(rows, (0, 0, 0, count - len(rows)))


def _orthogonal(rows: int, columns: int, generator: Any) -> Tensor:
    """(rows, columns) with orthonormal rows, or columns where there are fewer of them."""
    tall = torch.randn(max(rows, columns), min(rows, columns), generator=generator)
    basis = torch.linalg.qr(tall).Q
    return basis if rows >= columns else basis.T


def _least_squares(given: Tensor, wanted: Tensor) -> Tensor:
    """(given width, wanted width) of the smallest error, with a little ridge."""
    gram = given.T @ given
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    return torch.linalg.solve(gram, given.T @ wanted)
