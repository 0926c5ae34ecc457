"""How the next token is chosen from its distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from retro_cli.errors import UsageError

Tensor = Any
Choose = Callable[[Tensor], int]
EXACT, THOROUGH, FAST = BY_DOCUMENT = ("exact", "thorough", "fast")


@dataclass(frozen=True)
class Decoding:
    """Greedy unless told otherwise. Raises UsageError for settings that choose nothing.

    max_tokens: of the continuation. temperature: 0 takes the likeliest token, above that one is
    drawn. top_k, top_p: draw among the k likeliest tokens, and among the fewest that together
    have the probability p (Holtzman et al. 2020). seed: of the draws. beams: above 1, the
    likeliest text that a search with so many finds, by log-probability / tokens ** length_penalty:
    1 is the mean, 0 the whole, which prefers short texts. documents: of RAG-Sequence, "exact", or
    as Lewis et al. 2020 (section 2.5) approximate it, "thorough" or "fast": beams a document.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    beams: int = 1
    length_penalty: float = 1.0
    documents: str = EXACT

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UsageError(f"{self.max_tokens} tokens", "ask for at least one")
        if not 0.0 <= self.temperature < float("inf"):
            raise UsageError(f"a temperature of {self.temperature}", "0 is greedy, 1 unchanged")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top-k {self.top_k}", "draw among at least one token")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise UsageError(f"top-p {self.top_p}", "a probability above 0, at most 1")
        if self.beams < 1:
            raise UsageError(f"{self.beams} beams", "1 is greedy")
        if self.temperature == 0 and (self.top_k is not None or self.top_p is not None):
            raise UsageError("top-k and top-p choose what is drawn from", "set a temperature too")
        self._check_search()

    def _check_search(self) -> None:
        if self.beams > 1 and self.temperature > 0:
            raise UsageError("beams are not drawn", "either a temperature or beams")
        if not 0.0 <= self.length_penalty < float("inf"):
            raise UsageError(f"a length penalty of {self.length_penalty}", "0 or above")
        if self.documents not in BY_DOCUMENT:
            raise UsageError(f"--decoding {self.documents}", f"choose {', '.join(BY_DOCUMENT)}")
        if self.documents != EXACT and self.temperature > 0:
            raise UsageError(
                f"{self.documents} decoding searches, and is not drawn", "leave the temperature out"
            )


def normalised(logprob: float, tokens: int, length_penalty: float) -> float:
    """What texts of different lengths are compared by."""
    return float(logprob / tokens**length_penalty)


def chooser(decoding: Decoding) -> Choose:
    """The choice of one token from (vocabulary,) log-probabilities; draws follow the seed."""
    if decoding.temperature == 0:
        return lambda logprobs: int(logprobs.argmax())
    dice = torch.Generator().manual_seed(decoding.seed)

    def draw(logprobs: Tensor) -> int:
        chances = drawn_from(logprobs.cpu(), decoding)
        return int(torch.multinomial(chances, 1, generator=dice))

    return draw


def drawn_from(logprobs: Tensor, decoding: Decoding) -> Tensor:
    """(vocabulary,) the probabilities that a draw has: temperature, then top-k, then top-p."""
    chances = (logprobs / decoding.temperature).softmax(dim=-1)
    if decoding.top_k is not None and decoding.top_k < len(chances):
        least = chances.topk(decoding.top_k).values[-1]
        chances = chances.where(chances >= least, 0.0)
        chances = chances / chances.sum()
    if decoding.top_p is not None and decoding.top_p < 1:
        ordered, order = chances.sort(descending=True, stable=True)
        # A token stays while those before it do not reach p yet, so that the first always does.
        kept = ordered.where(ordered.cumsum(dim=-1) - ordered < decoding.top_p, 0.0)
        chances = torch.zeros_like(chances).scatter(-1, order, kept)
        chances = chances / chances.sum()
    return chances
