"""RAG (Lewis et al. 2020) as one decoder over a mixture of documents.

Each retrieved chunk is read in a row of its own, beside the question, and the next token's
distribution is the mean over the rows, weighted by the documents. RAG-Token gives a document the
same weight at every token, its prior p(z | x). RAG-Sequence carries the weights on: see
``SequenceReader``. Both decode greedily, by draws and with beams in the shared loop, and weights
times likelihood are the posterior of each document, for each token.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from retro_cli.errors import UsageError
from retro_cli.models.decoder_rows import CausalRows, DecoderRows, Seq2SeqRows
from retro_cli.models.language import SEQ2SEQ, LanguageModel, end_tokens
from retro_cli.models.marginal import document_prior
from retro_cli.query.hits import Hit
from retro_cli.readers.inputs import Form, longest_input
from retro_cli.readers.interface import Evidence, Step

Tensor = Any
DOCUMENTS = 5
# By metric. The cosines of one query are so close that at 1 every document would weigh the same; at
# 0.05 the prior is right about as often as it says. Sums of reciprocal ranks differ still less: at
# 0.002 the first of both rankings weighs e times as much as the fifth. Other scores are logits.
TEMPERATURES = {"cosine": 0.05, "rrf": 0.002}


class MixtureReader:
    """RAG-Token: any causal or sequence-to-sequence model, over the ``k`` chunks of a question.

    The prompt is the question: it is looked up once, and read with each chunk through a form.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        k: int | None = None,
        temperature: float | None = None,
        form: Form | None = None,
    ) -> None:
        """k: documents, by default 5. temperature: of the document prior; by default that of the
        scores' metric in ``TEMPERATURES``, or 1.

        Raises UsageError for a temperature that is not above 0.
        """
        if temperature is not None and not 0.0 < temperature < float("inf"):
            raise UsageError(f"a document temperature of {temperature}", "a number above 0")
        self.model = model
        self.k = DOCUMENTS if k is None else k
        self.temperature = temperature
        self.form = form or Form.of(model)
        network = model.network
        self.ends: Collection[int] = end_tokens(network.generation_config, network.config)
        longest = longest_input(model)
        inside = 0 if model.kind == SEQ2SEQ else self.form.budget  # else the encoder has its own
        self.longest: int | None = None if longest is None else max(longest - inside, 1)

    def encode(self, text: str) -> list[int]:
        """Without special tokens, which come with the form."""
        ids: list[int] = self.model.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        text: str = self.model.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def start(self, prompt: Sequence[int]) -> MixtureReading:
        return MixtureReading(self, self.decode(prompt))

    def rows(self, inputs: Sequence[Sequence[int]]) -> DecoderRows:
        """Rows of the network that continue some inputs."""
        kind = Seq2SeqRows if self.model.kind == SEQ2SEQ else CausalRows
        return kind(self.model.network, inputs)

    def log_prior(self, evidence: Evidence | None) -> Tensor:
        """(documents,) float32, log p(z | x): the softmax of the hits' scores, which retrieval
        computes from the stored vectors; a single 0 where nothing was found."""
        if evidence is None or not evidence.hits:
            return torch.zeros(1)
        scores = torch.tensor([hit.score for hit in evidence.hits], dtype=torch.float32)
        usual = TEMPERATURES.get(evidence.metric, 1.0)
        return document_prior(scores, self.temperature or usual)


class MixtureReading:
    """A question, what was found for it, and a network row for each beam and document.

    A step may come after several advances; their tokens are then read in one pass.
    """

    def __init__(self, reader: MixtureReader, question: str) -> None:
        self._reader = reader
        self._question = question
        self._written: list[list[int]] = [[]]  # of each row, the tokens so far
        self._begin()

    def _begin(self) -> None:
        """As if nothing had been looked up or read."""
        self._found: Evidence | None = None
        self._network: DecoderRows | None = None
        self._weights: Tensor = torch.zeros(len(self._written), 1)  # (rows, documents) log w(z)
        self._waiting = [list(row) for row in self._written]  # the tokens that are not read yet
        self._latest: Tensor | None = None  # (rows, documents, vocabulary) log p(y | x, z, y_<i)

    def queries(self) -> list[str]:
        return [self._question] if self._found is None and self._network is None else []

    def receive(self, evidence: Sequence[Evidence]) -> None:
        (self._found,) = evidence
        self._weights = self._reader.log_prior(self._found).repeat(len(self._written), 1)

    def forget(self, shown: Callable[[Hit], bool]) -> None:
        if self._found is not None and not all(map(shown, self._found.hits)):
            self._begin()

    def evidence(self, row: int) -> list[Evidence]:
        return [] if self._found is None else [self._found]

    def inputs(self) -> list[list[int]]:
        """What each document's row reads; the question alone where nothing was found."""
        hits = self._found.hits if self._found is not None else ()
        return [self._reader.form.read(self._question, hit) for hit in hits or (None,)]

    def step(self) -> Step:
        latest = self._read() if self._latest is None else self._latest
        joint = self._weights[:, :, None] + latest
        logprobs = joint.logsumexp(dim=1)
        found, weights = self._found, self._weights.exp()
        if found is None or not found.hits:
            return Step(logprobs, None if found is None else 0, [found] * len(joint))

        def told(row: int, _: int) -> Mapping[str, Any]:
            return {"prior": weights[row].tolist()}

        return Step(logprobs, 0, [found] * len(joint), joint=joint, detail=told)

    def _read(self) -> Tensor:
        """Feed the network what it has not seen."""
        rows, documents = len(self._waiting), self._weights.shape[1]
        if self._network is None:
            self._network = self._reader.rows(self.inputs())
            if rows > 1:
                self._network.pick(_spread([0] * rows, documents))
        waiting = torch.tensor(self._waiting, dtype=torch.int64).reshape(rows, -1)
        fed = self._network.feed(waiting.repeat_interleave(documents, dim=0))
        found = fed.cpu().unflatten(0, (rows, documents))
        foretold = found.shape[2] - 1
        if foretold:
            tokens = waiting[:, -foretold:]
            self._weigh(picked(found[:, :, :-1], tokens[:, None].expand(-1, documents, -1)))
        self._latest = found[:, :, -1]
        self._waiting = [[] for _ in range(rows)]
        return self._latest

    def _weigh(self, likelihoods: Tensor) -> None:
        """Take note of what the documents foretold: for RAG-Token, it does not matter.

        likelihoods: (rows, documents, n) log p(y_i | x, z, y_<i) of n tokens that were chosen.
        """

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> None:
        if list(parents) != list(range(len(self._waiting))):
            self._pick(list(parents))
        if self._latest is not None:
            chosen = torch.tensor(tokens)[:, None, None].expand(-1, self._weights.shape[1], 1)
            self._weigh(picked(self._latest[:, :, None], chosen))
            self._latest = None
        for rows in (self._waiting, self._written):
            for row, token in zip(rows, tokens, strict=True):
                row.append(token)

    def _pick(self, parents: list[int]) -> None:
        if self._network is not None:
            self._network.pick(_spread(parents, self._weights.shape[1]))
        if self._latest is not None:
            self._latest = self._latest[parents]
        self._weights = self._weights[parents]
        self._waiting = [list(self._waiting[row]) for row in parents]
        self._written = [list(self._written[row]) for row in parents]


def picked(logprobs: Tensor, tokens: Tensor) -> Tensor:
    """(..., n): of (..., n, vocabulary), those of the tokens (..., n)."""
    return logprobs.gather(-1, tokens[..., None])[..., 0]


def _spread(rows: Sequence[int], documents: int) -> list[int]:
    """The network's rows of some rows."""
    return [row * documents + z for row in rows for z in range(documents)]
