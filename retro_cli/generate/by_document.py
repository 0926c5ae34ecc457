"""RAG-Sequence as Lewis et al. 2020 decode it (section 2.5): beams a document, then the sum.

A text that the beams of one document find may not be among those of another. Thorough decoding
runs the model on each such pair; fast decoding takes its probability for 0. The exact decoding
needs neither: see ``readers/mixture.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from retro_cli.generate.beams import Search, search_beams
from retro_cli.generate.decoding import normalised
from retro_cli.readers.interface import ReadingByDocument

Tensor = Any
_Tokens = tuple[int, ...]


def likeliest_by_document(reading: ReadingByDocument, how: Search, thorough: bool) -> list[int]:
    """The tokens of the best candidate of all documents, by p(y | x) = sum_z p(z | x) p(y | x, z).

    reading: with its evidence. The sum leaves out, unless it is thorough, each document whose
    beams did not find the text.
    """
    found = [_beams(alone, how) for alone in reading.alone()]
    candidates = list(dict.fromkeys(text for beams in found for text in beams))
    likelihoods = torch.tensor(
        [[beams.get(text, float("-inf")) for beams in found] for text in candidates]
    )
    if thorough:
        _complete(likelihoods, reading, candidates)
    marginal = (reading.log_prior() + likelihoods).logsumexp(dim=-1).tolist()
    values = [
        normalised(logprob, len(text), how.length_penalty)
        for logprob, text in zip(marginal, candidates, strict=True)
    ]
    return list(candidates[values.index(max(values))])


def _beams(alone: Any, how: Search) -> dict[_Tokens, float]:
    """log p(y | x, z) of the texts that the beams of one document found, best first."""
    found = search_beams(alone, lambda: None, how)
    return {
        tuple(token.token for token in one.tokens): sum(token.logprob for token in one.tokens)
        for one in found
    }


def _complete(
    likelihoods: Tensor, reading: ReadingByDocument, candidates: Sequence[_Tokens]
) -> None:
    """Put in, (candidates, documents), what the beams did not find."""
    for document in range(likelihoods.shape[1]):
        missing = likelihoods[:, document].isinf().nonzero().flatten().tolist()
        if missing:
            texts = [candidates[text] for text in missing]
            likelihoods[missing, document] = reading.whole(document, texts).sum(dim=-1)
