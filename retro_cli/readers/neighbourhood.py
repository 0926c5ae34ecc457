"""Where the neighbours of a state come from: a datastore, or the chunks that were just read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from retro_cli.datastore.reader import Datastore
from retro_cli.models.nearest import states
from retro_cli.readers.interface import Evidence

Tensor = Any
_KEPT = 256  # chunks whose keys are held: about 75 MB of 128 tokens and 576 dimensions each


@dataclass(frozen=True)
class Found:
    """The nearest tokens of one state, best first.

    distances: (n,) float32 squared L2. values: (n,) int64 tokens. places: for each, its chunk and
    its number among the tokens of that. hits: for each, which hit it is of, or -1.
    """

    distances: Tensor
    values: Tensor
    places: Sequence[tuple[int, int]]
    hits: Tensor


class StoredKeys:
    """The whole datastore, for every row the same."""

    def __init__(self, datastore: Datastore, renewed: Callable[[], Datastore]) -> None:
        """renewed: the datastore under the rules that are in force now."""
        self._datastore, self._renewed = datastore, renewed

    def renew(self) -> None:
        self._datastore = self._renewed()

    def source(self, chunk: int) -> str:
        return self._datastore.source(chunk)

    def nearest(self, queries: Tensor, k: int) -> list[Found]:
        """queries: (rows, width) float32."""
        found = self._datastore.search(queries.numpy(), min(k, max(1, self._datastore.keys)))
        result = []
        for distances, tokens, values in zip(
            found.distances, found.tokens, found.values, strict=True
        ):
            there = tokens >= 0
            places = self._datastore.places(tokens[there])
            hits = torch.full((int(there.sum()),), -1)
            near = torch.from_numpy(distances[there])
            result.append(Found(near, torch.from_numpy(values[there]), places, hits))
        return result


@dataclass(frozen=True)
class ChunkKeys:
    """(n, width) keys and (n,) values of some chunks' tokens, with the hit and number of each."""

    keys: Tensor
    values: Tensor
    places: Sequence[tuple[int, int]]
    hits: Tensor

    def nearest(self, query: Tensor, k: int) -> Found:
        """query: (width,) float32. Each distance is computed on its own, in full precision."""
        distances = (self.keys - query).square().sum(dim=-1)
        best = distances.sort(stable=True).indices[:k]
        places = [self.places[place] for place in best.tolist()]
        return Found(distances[best], self.values[best], places, self.hits[best])


class ChunkKeyMaker:
    """Makes the keys of retrieved chunks and their continuations, each read from its beginning."""

    def __init__(self, model: Any, before: Sequence[int]) -> None:
        """before: what the model wants before a text."""
        self._model = model
        self._before = list(before)
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()

    def keys(self, evidence: Evidence) -> ChunkKeys:
        texts = [row[row >= 0] for row in evidence.tokens]
        self._learn([text for text in texts if len(text)])
        skipped = 0 if self._before else 1  # a first token with nothing before it has no key
        keys: list[Tensor] = []
        values: list[int] = []
        places: list[tuple[int, int]] = []
        hits: list[int] = []
        for number, (hit, text) in enumerate(zip(evidence.hits, texts, strict=True)):
            if len(text) > skipped:
                keys.append(self._known[text.tobytes()])
                values.extend(text[skipped:].tolist())
                places.extend((hit.chunk, place) for place in range(skipped, len(text)))
                hits.extend([number] * (len(text) - skipped))
        width = int(self._model.config.hidden_size)
        joined = torch.cat(keys) if keys else torch.zeros((0, width))
        return ChunkKeys(
            joined, torch.tensor(values, dtype=torch.long), places,
            torch.tensor(hits, dtype=torch.long),
        )  # fmt: skip

    def _learn(self, texts: Sequence[np.ndarray[Any, Any]]) -> None:
        missing = {text.tobytes(): text for text in texts if text.tobytes() not in self._known}
        if missing:
            rows = [[*self._before, *text.tolist()] for text in missing.values()]
            for name, found in zip(missing, states(self._model, rows), strict=True):
                self._known[name] = found[max(0, len(self._before) - 1) : -1]
        for text in texts:
            self._known.move_to_end(text.tobytes())
        while len(self._known) > max(_KEPT, len(texts)):
            self._known.popitem(last=False)
