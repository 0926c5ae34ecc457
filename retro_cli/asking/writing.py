"""Answers in a model's own words: of a reader here, or of a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retro_cli.asking.budget import about, fitted
from retro_cli.asking.endpoint import Endpoint
from retro_cli.asking.reply import Reply, citations_of
from retro_cli.asking.template import Template, chat_text
from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.live import LiveRetriever
from retro_cli.generate.loop import generate, score
from retro_cli.query.retrieve import Answer, Hit
from retro_cli.query.search import Find
from retro_cli.readers.causal import CausalReader
from retro_cli.readers.interface import Reader

CLOSED_BOOK, IN_CONTEXT = "closed-book", "in-context"
Live = Callable[[Find], LiveRetriever]


class Writing:
    """A reader of the shared loop. In-context: the passages are shown once, numbered, and nothing
    is looked up on the way; other readers look the question up themselves, and get the hits."""

    def __init__(
        self, name: str, reader: Reader, live: Live, template: Template, max_tokens: int,
        context_tokens: int,
    ) -> None:  # fmt: skip
        """reader: for in-context the closed-book one, which reads the prompt. live: gives what
        answers the reader's look-ups. Raises UsageError for a budget that the window lacks."""
        self._name, self._reader, self._live = name, reader, live
        self._template, self._context = template, context_tokens
        self._decoding = Decoding(max_tokens)
        self.reads = name != CLOSED_BOOK

    def answer(self, question: str, hits: Sequence[Hit]) -> Reply:
        prompt, shown = self._prompt(question, hits)
        found = generate(self._reader, self._retriever(hits), prompt, self._decoding)
        return replied(question, found.text, hits if self.reads else (), shown, self._template)

    def nats(self, question: str, hits: Sequence[Hit], reference: str) -> float | None:
        prompt, _ = self._prompt(question, hits)
        target = self._reader.encode(_spaced(prompt, reference))
        if isinstance(self._reader, CausalReader):
            target = target[len(self._reader.opening()) :]
        return -score(self._reader, self._retriever(hits), prompt, target).logprob

    def _retriever(self, hits: Sequence[Hit]) -> LiveRetriever | None:
        if self._name in (CLOSED_BOOK, IN_CONTEXT):
            return None
        return self._live(lambda texts, k: [Answer(tuple(hits[:k]), {})] * len(texts))

    def _prompt(self, question: str, hits: Sequence[Hit]) -> tuple[str, int]:
        """What the reader is given, and how many of the hits stand in it."""
        tokenizer = getattr(self._reader, "tokenizer", None)
        if self._name == CLOSED_BOOK:
            return chat_text(tokenizer, self._template.messages(question, None)), 0
        if self._name != IN_CONTEXT:
            return question, len(hits)
        passages = fitted(hits, self._template, self._budget(question), self._count)
        return chat_text(tokenizer, self._template.messages(question, passages)), len(passages)

    def _count(self, text: str) -> int:
        return len(self._reader.encode(text))

    def _budget(self, question: str) -> int:
        """What the window leaves for passages beside the question and the answer."""
        if self._reader.longest is None:
            return self._context
        bare = chat_text(
            getattr(self._reader, "tokenizer", None), self._template.messages(question, [])
        )
        left = self._reader.longest - self._count(bare) - self._decoding.max_tokens
        if left < 0:
            raise UsageError(
                f"the question leaves no room in a window of {self._reader.longest:,} tokens",
                "ask for fewer --max-tokens, or use a larger model",
            )
        return min(self._context, left)


class Serving:
    """A server's chat completions."""

    def __init__(
        self, endpoint: Endpoint, template: Template, max_tokens: int, context_tokens: int, *,
        reads: bool = True,
    ) -> None:  # fmt: skip
        """reads: whether it is shown the passages; without, the book is closed."""
        self._endpoint, self._template = endpoint, template
        self._max_tokens, self._context = max_tokens, context_tokens
        self.reads = reads

    def answer(
        self, question: str, hits: Sequence[Hit], watch: Callable[[str], Any] | None = None
    ) -> Reply:
        """watch: is told each piece of the text as it comes."""
        passages = None
        if self.reads:
            passages = fitted(hits, self._template, self._context, about)
        pieces = []
        for piece in self._endpoint.chat(
            self._template.messages(question, passages), self._max_tokens
        ):
            pieces.append(piece)
            if watch is not None:
                watch(piece)
        shown = len(passages or ())
        return replied(question, "".join(pieces), hits if self.reads else (), shown, self._template)

    def nats(self, question: str, hits: Sequence[Hit], reference: str) -> float | None:
        """Servers do not tell the likelihood of a text of ours."""
        return None


def replied(question: str, text: str, hits: Sequence[Hit], shown: int, template: Template) -> Reply:
    """What a model wrote as a reply: a refusal is no answer, and its citations are checked.

    Only what the model was shown can be cited.
    """
    text = text.strip()
    refused = not text or template.refusal.lower() in text.lower()
    answer = "" if refused else text
    citations = citations_of(text, answer, hits[:shown]) if answer else ()
    return Reply(question, answer, text, citations, tuple(hits))


def _spaced(prompt: str, answer: str) -> str:
    """An answer as it goes on after a prompt."""
    return answer if prompt.endswith((" ", "\n")) else " " + answer
