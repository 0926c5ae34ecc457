"""RAG-Sequence (Lewis et al. 2020, section 2.1) as an exact chain, and by document.

sum_z p(z | x) p(y | x, z) is the product of sum_z w_i(z) p(y_i | x, z, y_<i), where w_1 is the
prior and w_{i+1}(z) is proportional to w_i(z) p(y_i | x, z, y_<i). So the mixture that decodes
RAG-Token decodes RAG-Sequence too, with weights that are carried on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import pad

from retro_cli.models.decoder_rows import padded_batch
from retro_cli.readers.mixture import MixtureReader, MixtureReading, picked

Tensor = Any
_ROWS = 16  # network rows of one pass over whole targets


class SequenceReader(MixtureReader):
    """RAG-Sequence over the chunks of a question."""

    def start(self, prompt: Sequence[int]) -> SequenceReading:
        return SequenceReading(self, self.decode(prompt))


class SequenceReading(MixtureReading):
    """The weights are the posterior of each document, given the tokens so far."""

    def _weigh(self, likelihoods: Tensor) -> None:
        self._weights = (self._weights + likelihoods.sum(dim=-1)).log_softmax(dim=-1)

    def log_prior(self) -> Tensor:
        return self._reader.log_prior(self._found)

    def alone(self) -> list[SequenceReading]:
        found = self._found
        if found is None or not found.hits:
            return [SequenceReading(self._reader, self._question)]
        readings = []
        for place, hit in enumerate(found.hits):
            reading = SequenceReading(self._reader, self._question)
            reading.receive([replace(found, hits=(hit,), tokens=found.tokens[place : place + 1])])
            readings.append(reading)
        return readings

    def whole(self, document: int, targets: Sequence[Sequence[int]]) -> Tensor:
        given, longest = self.inputs()[document], max(map(len, targets))
        parts = [targets[first : first + _ROWS] for first in range(0, len(targets), _ROWS)]
        found = [self._pass(given, part) for part in parts]
        return torch.cat([pad(part, (0, longest - part.shape[1])) for part in found])

    def _pass(self, given: list[int], targets: Sequence[Sequence[int]]) -> Tensor:
        ids, mask = padded_batch(targets)
        network = self._reader.rows([given] * len(targets))
        return picked(network.feed(ids[:, :-1]).cpu(), ids).masked_fill(mask == 0, 0.0)
