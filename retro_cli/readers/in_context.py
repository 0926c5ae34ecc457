"""The in-context reader: what was found stands before the text (Ram et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retro_cli.errors import UsageError
from retro_cli.models.language import LanguageModel
from retro_cli.query.retrieve import Hit
from retro_cli.readers.cached import CachedNetwork
from retro_cli.readers.causal import CausalReader
from retro_cli.readers.interface import Evidence, Step

STRIDE, QUERY_TOKENS, DOCUMENT_TOKENS = 4, 32, 256


class InContextReader(CausalReader):
    """Section 3 of Ram et al. 2023: p(x_i | [R(q_j); x_<i]), looked up again every s tokens.

    q_j is the last l tokens. A document, cut to 256 tokens, replaces the oldest tokens of the
    text where both do not fit the model's window, and never any of the last l.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        k: int | None = None,
        stride: int | None = None,
        query_tokens: int = QUERY_TOKENS,
        document_tokens: int = DOCUMENT_TOKENS,
    ) -> None:
        """k: documents, by default 1. stride: s, by default 4. query_tokens: l.

        document_tokens: of each document at most. Raises UsageError for what cannot be.
        """
        super().__init__(model, 1 if k is None else k)
        self.stride = STRIDE if stride is None else stride
        self.query_tokens = query_tokens
        self.document_tokens = document_tokens
        if min(self.k, self.stride, query_tokens, document_tokens) < 1:
            raise UsageError(
                f"{self.k} documents of {document_tokens} tokens for queries of {query_tokens}, "
                f"every {self.stride} tokens", "all of these are at least 1",
            )  # fmt: skip
        if self.longest is not None and self.longest <= query_tokens + self.stride:
            raise UsageError(
                f"a window of {self.longest} tokens leaves no room for documents",
                f"look up more often than every {self.stride} tokens, or use a larger model",
            )
        self._before = self.opening()

    def start(self, prompt: Sequence[int]) -> InContextReading:
        return InContextReading(self, prompt)

    def context(self, evidence: Evidence, text: int) -> list[int]:
        """The tokens of the documents that are read before a text of so many tokens, best last."""
        room = self._room(text)
        found: list[int] = []
        for hit in evidence.hits[: self.k]:
            tokens = self._document(hit)[: min(self.document_tokens, room - len(found))]
            found = tokens + found
        return found

    def _room(self, text: int) -> int:
        """For documents: what the last l tokens, and those until the next look-up, leave."""
        if self.longest is None:
            return self.k * self.document_tokens
        return self.longest - min(text, self.query_tokens) - self.stride - len(self._before)

    def _document(self, hit: Hit) -> list[int]:
        ids: list[int] = self.tokenizer.encode(
            f"{hit.text}{hit.continuation}\n", add_special_tokens=False, split_special_tokens=True
        )
        return ids

    def window(self, context: Sequence[int], ids: Sequence[int], looked: int) -> list[int]:
        """What the model reads: the documents, then of the text what there is room for.

        looked: the text's tokens at the last look-up. Until the next one the text only grows at
        its end, so that what the model has seen stays as it is.
        """
        if not context:
            return list(ids)
        begin = len(self._before) if list(ids[: len(self._before)]) == self._before else 0
        start = begin
        if self.longest is not None:
            start = max(start, looked + self.stride + begin + len(context) - self.longest)
        return [*ids[:begin], *context, *ids[start:]]


class InContextReading:
    """The rows' tokens, the documents before each, and the cache of what the model has seen."""

    def __init__(self, reader: InContextReader, prompt: Sequence[int]) -> None:
        self._reader = reader
        self._ids = [list(prompt)]
        self._context: list[list[int]] = [[]]
        self._evidence: list[list[Evidence]] = [[]]
        self._looked = 0
        self._network = CachedNetwork(reader.network)

    @property
    def length(self) -> int:
        """Tokens of each row."""
        return len(self._ids[0])

    def queries(self) -> list[str]:
        if self._looked and self.length - self._looked < self._reader.stride:
            return []
        last = self._reader.query_tokens
        return [self._reader.decode(ids[-last:]).strip("�") for ids in self._ids]

    def receive(self, evidence: Sequence[Evidence]) -> None:
        for known, item in zip(self._evidence, evidence, strict=True):
            known.append(item)
        self._context = [self._reader.context(item, self.length) for item in evidence]
        self._looked = self.length

    def forget(self, shown: Callable[[Hit], bool]) -> None:
        latest = [known[-1] for known in self._evidence if known]
        if not all(shown(hit) for found in latest for hit in found.hits):
            self._context, self._looked = [[] for _ in self._ids], 0

    def step(self) -> Step:
        rows = [
            self._reader.window(context, ids, self._looked)
            for context, ids in zip(self._context, self._ids, strict=True)
        ]
        logprobs = self._network.next_logprobs(rows)
        if not self._looked:
            return Step(logprobs, None, [None] * len(rows))
        latest = [known[-1] for known in self._evidence]
        return Step(logprobs, len(self._evidence[0]) - 1, latest)

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> None:
        self._network.pick(parents)
        self._ids = [[*self._ids[row], token] for row, token in zip(parents, tokens, strict=True)]
        self._context = [self._context[row] for row in parents]
        self._evidence = [list(self._evidence[row]) for row in parents]

    def evidence(self, row: int) -> list[Evidence]:
        return list(self._evidence[row])
