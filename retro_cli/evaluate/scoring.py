"""The negative log-probability of every token, under one model with different neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from retro_cli.errors import RetroError
from retro_cli.evaluate.lower import LowerLayers
from retro_cli.evaluate.text import EvaluationText
from retro_cli.evaluate.windows import Window, batches
from retro_cli.events import SILENT, Progress
from retro_cli.models.threads import use_all_cores

Tensor = Any
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Read = Callable[[Ids], npt.NDArray[np.int32]]  # (...) chunk ids -> (..., r) token ids
_POSITIONS = 128  # whose scores over the vocabulary are normalised at a time


def score(
    model: Any,
    text: EvaluationText,
    conditions: Mapping[str, Ids | None],
    windows: Sequence[Window],
    read: Read,
    batch: int = 1,
    progress: Progress = SILENT,
) -> dict[str, Floats]:
    """(tokens,) nats of each token of ``text.flat`` under each condition; NaN: not scored.

    conditions: name -> (n, k) chunk ids, RET of each chunk of the text, or None for a model
    without retrieval. All conditions are evaluated on a window before the next one. Raises
    RetroError where a model's scores are not numbers.
    """
    if model.device.type == "cpu":
        use_all_cores()
    scorer = _Scorer(model, text, read)
    nats = {name: np.full(len(text.flat), np.nan) for name in conditions}
    progress.started("evaluate", sum(window.scored for window in windows), "tokens")
    with torch.inference_mode():
        for some in batches(windows, batch):
            for name, values in scorer.batch(some, conditions):
                for window, row in zip(some, values, strict=True):
                    first = window.start + window.skip + 1
                    nats[name][first : first + window.scored] = _checked(row, name, text, first)
            progress.advanced("evaluate", sum(window.scored for window in some))
    progress.finished("evaluate")
    return nats


def _checked(row: Floats, name: str, text: EvaluationText, first: int) -> Floats:
    if not np.isfinite(row).all():
        document = text.names[int(text.document[text.owner[first]])]
        raise RetroError(
            f"the model gives no probabilities for {document} (condition: {name}): its scores are "
            "infinite or not numbers",
            "its weights are damaged, its training diverged, or its dtype is too narrow",
        )
    return row


class _Scorer:
    """One model and one text."""

    def __init__(self, model: Any, text: EvaluationText, read: Read) -> None:
        self._model, self._text, self._read = model, text, read
        self._lower = LowerLayers(model)
        self._chunk = text.tokens.shape[1]

    def batch(
        self, windows: Sequence[Window], conditions: Mapping[str, Ids | None]
    ) -> list[tuple[str, list[Floats]]]:
        """(name, the nats of each window's scored tokens)."""
        device = self._model.device
        longest = max(window.inputs for window in windows)
        ids = np.zeros((len(windows), longest), dtype=np.int64)  # a causal model ignores padding
        targets = np.zeros((len(windows), longest), dtype=np.int64)
        for row, window in enumerate(windows):
            span = self._text.flat[window.start : window.start + window.inputs + 1]
            ids[row, : window.inputs], targets[row, : window.inputs] = span[:-1], span[1:]
        skip = min(window.skip for window in windows)
        call = {
            "input_ids": torch.from_numpy(ids).to(device),
            "use_cache": False,
            "logits_to_keep": longest - skip,
        }
        wanted = torch.from_numpy(targets[:, skip:]).to(device)
        found: list[tuple[str, list[Floats]]] = []
        below: list[Any] = []
        for name, neighbours in conditions.items():
            given = self._neighbours(windows, neighbours, longest)
            if not found:
                with self._lower.kept() as below:
                    output = self._model(neighbour_ids=given, **call)
            else:
                with self._lower.done(below):
                    output = self._model(neighbour_ids=given, **call)
            nats = _nats(output.logits, wanted)
            parts = [
                nats[row, window.skip - skip : window.inputs - skip]
                for row, window in enumerate(windows)
            ]
            found.append((name, parts))
        return found

    def _neighbours(
        self, windows: Sequence[Window], neighbours: Ids | None, longest: int
    ) -> Tensor | None:
        """(batch, chunks, k, r) token ids: RET of the chunks that the windows complete."""
        if neighbours is None:
            return None
        ids = np.full((len(windows), longest // self._chunk, neighbours.shape[1]), -1, np.int64)
        for row, window in enumerate(windows):
            first = int(self._text.owner[window.start])
            count = window.inputs // self._chunk
            ids[row, :count] = neighbours[first : first + count]
        return torch.from_numpy(self._read(ids).astype(np.int64)).to(self._model.device)


def _nats(logits: Tensor, targets: Tensor) -> Floats:
    """(batch, positions) float64: -log softmax of the targets, in float32.

    logits: (batch, positions, vocabulary), targets: (batch, positions) int64.
    """
    parts = []
    for first in range(0, targets.shape[1], _POSITIONS):
        some = logits[:, first : first + _POSITIONS].float()
        right = some.gather(2, targets[:, first : first + _POSITIONS, None])[..., 0]
        parts.append(some.logsumexp(dim=2) - right)
    result: Floats = torch.cat(parts, dim=1).cpu().double().numpy()
    return result
