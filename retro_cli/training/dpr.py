"""Dense passage retrieval (Karpukhin et al. 2020): a dual encoder from questions and passages.

A question's own passage is to score highest among all passages of the batch, those of the other
questions and the hard negatives. Vectors have length one here, so scores are cosines, and are
divided by a temperature; the paper's inner products are not and need none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from retro_cli.models.tower import Tower
from retro_cli.training.mining import Mined

Tensor = Any


def in_batch_nats(
    queries: Tensor, passages: Tensor, temperature: float, same: Tensor | None = None
) -> Tensor:
    """(b,) -log softmax over all passages of each question's own (equation 3 of the paper).

    queries: (b, dim). passages: (p, dim), the first b of which are the questions' own, in order.
    same: (b, p) bool, passages that are no negatives, being the question's own once more.
    """
    scores = queries @ passages.T / temperature
    if same is not None:
        others = same & ~torch.eye(*same.shape, dtype=torch.bool, device=same.device)
        scores = scores.masked_fill(others, float("-inf"))
    return -scores.log_softmax(dim=-1).diagonal()


class DprLesson:
    """``course.Lesson`` for a dual encoder; the two towers may be one."""

    def __init__(
        self,
        queries: Tower,
        documents: Tower,
        texts: Sequence[str],
        mined: Callable[[int], list[Mined]],
        temperature: float,
    ) -> None:
        """texts: of the passages, by place. mined: a step's questions."""
        self.queries, self.documents = queries, documents
        self.texts, self.mined, self.temperature = texts, mined, temperature

    def trained(self) -> dict[str, Tensor]:
        named = {f"query.{n}": p for n, p in self.queries.weights().items()}
        if self.documents is not self.queries:
            named |= {f"document.{n}": p for n, p in self.documents.weights().items()}
        return named

    def paces(self) -> dict[str, float]:
        return {}

    def networks(self) -> list[Any]:
        return [self.queries.network, self.documents.network]

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """In nats a question."""
        batch = self.mined(step)
        queries = self.queries.queries([each.question for each in batch])
        own = [each.positive for each in batch]
        places = [*own, *(place for each in batch for place in each.negatives)]
        passages = self.documents.documents([self.texts[place] for place in places])
        same = torch.tensor(own)[:, None] == torch.tensor(places)
        nats = in_batch_nats(queries, passages, self.temperature, same.to(queries.device))
        with torch.no_grad():
            first = (queries @ passages.T).argmax(dim=1).cpu()
        right = same[torch.arange(len(batch)), first].float().mean()
        return nats.mean(), {"right": round(float(right), 4)}

    def state(self) -> dict[str, Tensor]:
        return {}

    def resume(self, step: int, state: dict[str, Tensor]) -> None:
        """A step depends on nothing but the weights."""
