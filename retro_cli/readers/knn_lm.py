"""kNN-LM: the model's next token, and what followed where the model was in a like state.

p = lambda p_kNN + (1 - lambda) p_LM (Khandelwal et al. 2020, equation 3). Lower perplexity does not
make better texts: left to write freely, kNN-LM gains nothing (Wang et al. 2023, arXiv 2305.14625).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from retro_cli.models.language import LanguageModel
from retro_cli.models.nearest import interpolated, noted_states, vote_logprobs, vote_weights
from retro_cli.query.hits import Hit
from retro_cli.readers.cached import CachedNetwork
from retro_cli.readers.causal import CausalReader
from retro_cli.readers.interface import Evidence, Step
from retro_cli.readers.neighbourhood import ChunkKeyMaker, ChunkKeys, Found, StoredKeys
from retro_cli.readers.votes import Votes

Tensor = Any
HITS, STRIDE, QUERY = 8, 32, 64
SHOWN = 8  # voters that a trace names


class KnnLmReader(CausalReader):
    """Section 2 of Khandelwal et al. 2020, decoding.

    With a datastore every token of the database may vote, and nothing is looked up as text.
    Without one the keys are made from the chunks that a look-up finds: of the last ``QUERY``
    tokens, again after each ``stride`` of them.
    """

    def __init__(
        self,
        opened: LanguageModel,
        votes: Votes,
        stored: StoredKeys | None = None,
        *,
        before: Sequence[int] = (),
        k: int | None = None,
        stride: int | None = None,
        record: bool = False,
    ) -> None:
        """stored: the datastore. before: what the model wants before a text. k: chunks a look-up.
        record: whether steps name who voted."""
        super().__init__(opened, k or HITS)
        self.votes, self.record = votes, record
        self.stored = stored
        self.makes = ChunkKeyMaker(self.network, before)
        self.stride = stride or STRIDE

    def start(self, prompt: Sequence[int]) -> KnnLmReading:
        return KnnLmReading(self, prompt)


class KnnLmReading:
    """The rows, what was looked up for each, and the keys of the latest of that."""

    def __init__(self, reader: KnnLmReader, prompt: Sequence[int]) -> None:
        self._reader = reader
        self._ids = [list(prompt)]
        self._network = CachedNetwork(reader.network)
        self._evidence: list[list[Evidence]] = [[]]
        self._keys: list[ChunkKeys | None] = [None]
        self._looked: int | None = None  # tokens at the last look-up

    def queries(self) -> list[str]:
        reader, length = self._reader, len(self._ids[0])
        if reader.stored is not None:
            return []
        if self._looked is not None and length - self._looked < reader.stride:
            return []
        return [reader.decode(ids[-QUERY:]).strip("�") for ids in self._ids]

    def receive(self, evidence: Sequence[Evidence]) -> None:
        self._looked = len(self._ids[0])
        for row, found in enumerate(evidence):
            self._evidence[row].append(found)
            self._keys[row] = self._reader.makes.keys(found)

    def forget(self, shown: Callable[[Hit], bool]) -> None:
        if self._reader.stored is not None:
            self._reader.stored.renew()
        latest = [known[-1] for known in self._evidence if known]
        if not all(shown(hit) for found in latest for hit in found.hits):
            self._keys, self._looked = [None] * len(self._keys), None

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def step(self) -> Step:
        reader = self._reader
        with noted_states(reader.network) as noted:
            base = self._network.next_logprobs(self._ids)
        found = self._nearest(noted[-1][:, -1].float().cpu())
        weights = [vote_weights(each.distances, reader.votes.temperature) for each in found]
        logprobs = base.clone()
        for row, (each, shares) in enumerate(zip(found, weights, strict=True)):
            if len(shares):
                votes = vote_logprobs(shares[None], each.values[None], base.shape[1])
                mixed = interpolated(base[row].cpu(), votes[0], reader.votes.weight)
                logprobs[row] = mixed.to(base.device)
        latest = [known[-1] if known else None for known in self._evidence]
        read = len(self._evidence[0]) - 1 if latest[0] is not None else None
        mass = self._mass(found, weights) if read is not None and reader.record else None

        def detail(row: int, _: int) -> Mapping[str, Any]:
            return self._named(row, found[row], weights[row])

        return Step(logprobs, read, latest, mass, detail=detail if reader.record else None)

    def _nearest(self, queries: Tensor) -> list[Found]:
        reader = self._reader
        if reader.stored is not None:
            return reader.stored.nearest(queries, reader.votes.k)
        nothing = Found(torch.zeros(0), torch.zeros(0, dtype=torch.long), (), torch.zeros(0))
        return [
            nothing if keys is None else keys.nearest(query, reader.votes.k)
            for query, keys in zip(queries, self._keys, strict=True)
        ]

    def _mass(self, found: Sequence[Found], weights: Sequence[Tensor]) -> Tensor:
        """(rows, k) the share of the vote that the tokens of each hit had."""
        widest = max(len(known[-1].hits) for known in self._evidence)
        mass = torch.zeros((len(found), widest))
        for row, (each, shares) in enumerate(zip(found, weights, strict=True)):
            if len(shares):
                mass[row].index_add_(0, each.hits, shares)
        return mass

    def _named(self, row: int, found: Found, weights: Tensor) -> Mapping[str, Any]:
        """The trace of one token: lambda, and the tokens that voted most, best first."""
        stored = self._reader.stored
        hits = self._evidence[row][-1].hits if self._evidence[row] else ()
        sources = {hit.chunk: hit.source for hit in hits}
        shown = zip(found.places[:SHOWN], found.values.tolist(), weights.tolist(), strict=False)
        voters = [
            {
                "chunk": chunk,
                "offset": offset,
                "token": token,
                "weight": weight,
                "source": sources[chunk] if stored is None else stored.source(chunk),
            }
            for (chunk, offset), token, weight in shown
        ]
        return {"lambda": self._reader.votes.weight if voters else 0.0, "knn": voters}

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> None:
        self._network.pick(parents)
        self._ids = [[*self._ids[row], token] for row, token in zip(parents, tokens, strict=True)]
        self._evidence = [list(self._evidence[row]) for row in parents]
        self._keys = [self._keys[row] for row in parents]

    def evidence(self, row: int) -> list[Evidence]:
        return list(self._evidence[row])
