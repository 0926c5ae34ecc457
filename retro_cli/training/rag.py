"""RAG's objectives (Lewis et al. 2020, section 2): generator and query encoder learn together.

The document encoder and the index are frozen. A document's score is the product of the fresh query
vector with its *stored* vector, so the loss reaches the query encoder through p(z | x): the
derivative of log p(y | x) by a score is the document's posterior less its prior.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from retro_cli.models.likelihood import target_logprobs
from retro_cli.models.marginal import document_prior, sequence_logprob, token_logprobs
from retro_cli.models.tower import Tower
from retro_cli.query.retrieve import Hit
from retro_cli.training.collapse import NONE, Window

Tensor = Any
TOKEN, SEQUENCE = "rag-token", "rag-sequence"


@dataclass(frozen=True)
class Task:
    """A question, and the tokens of the answer that it is to get, their end included."""

    question: str
    target: tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """What one query found. hits: at most k, best first. vectors: (hits, dim) float32, as they are
    stored."""

    hits: tuple[Hit, ...]
    vectors: npt.NDArray[np.float32]


class Shelf(Protocol):
    """Where documents are found while a model learns."""

    def find(self, queries: npt.NDArray[np.float32], k: int) -> list[Found]:
        """queries: (n, dim) unit rows."""


@dataclass(frozen=True)
class Batch:
    """What some tasks found, as tensors. vectors: (b, k, dim); ids: (b, k), NONE where there are
    fewer; inputs and targets: of the b * k' rows that are there, row after row."""

    vectors: Tensor
    ids: Tensor
    inputs: list[list[int]]
    targets: list[Sequence[int]]

    @property
    def present(self) -> Tensor:
        return self.ids != NONE


def rag_nats(objective: str, prior: Tensor, tokens: Tensor) -> Tensor:
    """(b,) -log p(y | x). prior: (b, k) log p(z | x); tokens: (b, k, n) log p(y_i | x, z, y_<i)."""
    if objective == SEQUENCE:
        return -sequence_logprob(prior, tokens)
    return -token_logprobs(prior, tokens).sum(dim=-1)


class RagLesson:
    """``course.Lesson`` for RAG-Token and RAG-Sequence."""

    def __init__(
        self,
        objective: str,
        network: Any,
        kind: str,
        tower: Tower,
        shelf: Shelf,
        tasks: Callable[[int], list[Task]],
        read: Callable[[str, Hit], list[int]],
        *,
        k: int,
        temperature: float,
        window: Window,
    ) -> None:
        """network, kind: the generator, see ``target_logprobs``. tower: the query encoder. tasks:
        those of a step. read: a question and a hit -> what the generator is given."""
        self.objective, self.network, self.kind = objective, network, kind
        self.tower, self.shelf, self.tasks, self.read = tower, shelf, tasks, read
        self.k, self.temperature, self.window = k, temperature, window

    def trained(self) -> dict[str, Tensor]:
        generator = {f"generator.{n}": p for n, p in self.network.named_parameters()}
        return generator | {f"query.{n}": p for n, p in self.tower.weights().items()}

    def paces(self) -> dict[str, float]:
        return {}

    def networks(self) -> list[Any]:
        return [self.network, self.tower.network]

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """In nats a token of the answers."""
        tasks = self.tasks(step)
        queries = self.tower.queries([task.question for task in tasks])
        batch = self._find(tasks, queries)
        scores = (queries[:, None] @ batch.vectors.transpose(1, 2))[:, 0]
        prior = document_prior(scores, self.temperature, batch.present)
        nats = rag_nats(self.objective, prior, self._likelihoods(batch))
        self.window.add(batch.ids, prior.exp())
        return nats.sum() / sum(len(task.target) for task in tasks), told(self.window)

    def _find(self, tasks: list[Task], queries: Tensor) -> Batch:
        found = self.shelf.find(queries.detach().cpu().numpy(), self.k)
        vectors = torch.zeros(len(tasks), self.k, queries.shape[1])
        ids = torch.full((len(tasks), self.k), NONE)
        inputs: list[list[int]] = []
        targets: list[Sequence[int]] = []
        for row, (task, each) in enumerate(zip(tasks, found, strict=True)):
            count = len(each.hits)
            vectors[row, :count] = torch.from_numpy(each.vectors)
            ids[row, :count] = torch.tensor([hit.chunk for hit in each.hits])
            inputs += [self.read(task.question, hit) for hit in each.hits]
            targets += [task.target] * count
        return Batch(vectors.to(queries.device), ids.to(queries.device), inputs, targets)

    def _likelihoods(self, batch: Batch) -> Tensor:
        """(b, k, n): 0 where there is no document, whose prior is nothing anyway."""
        likely = target_logprobs(self.network, self.kind, batch.inputs, batch.targets)
        whole = likely.new_zeros(*batch.ids.shape, likely.shape[1])
        return whole.masked_scatter(batch.present[..., None].expand_as(whole), likely)

    def state(self) -> dict[str, Tensor]:
        return self.window.state()

    def resume(self, step: int, state: dict[str, Tensor]) -> None:
        self.window.resume(state)


def told(window: Window) -> dict[str, float]:
    """What the metrics say of retrieval at a step."""
    spread = window.spread()
    return {
        "documents": round(spread.together, 3),
        "documents_each": round(spread.each, 3),
        "apart": round(spread.apart, 3),
    }
