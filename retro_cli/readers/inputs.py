"""A question and a retrieved chunk -> the tokens that a model reads; the chunk gives way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from retro_cli.errors import UsageError
from retro_cli.models.language import SEQ2SEQ, LanguageModel
from retro_cli.query.retrieve import Hit

# How transformers' RAG writes it, which sequence-to-sequence readers are trained on.
SEQ2SEQ_FORM = "{title} / {text} // {question}"
# A model without a chat template continues what it is given: the prompt comes last.
PLAIN_FORM = "{title}\n{text}\n\n{question}"
CHAT_FORM = "{title}\n{text}\n\nQuestion: {question}\nAnswer with a short phrase from this text."
_NAMES = re.compile(r"\{(title|text|question)\}")
_MOST = 1024  # tokens


@dataclass(frozen=True)
class Form:
    """How a model is given a question, with a chunk or without.

    model: with its tokenizer. template: with {title}, {text} and {question} where they go; the
    part of a user's message where the tokenizer has a chat template. budget: tokens of an input
    at most. What looks like a special token in a text is broken up: a corpus must not give orders.
    """

    model: LanguageModel
    template: str
    budget: int

    @classmethod
    def of(
        cls, model: LanguageModel, template: str | None = None, budget: int | None = None
    ) -> Form:
        """budget: by default 1,024 tokens, or half of what the model takes, if that is less.

        Raises UsageError for a template without {text} or {question}.
        """
        template = template or _usual(model)
        for name in ("{text}", "{question}"):
            if name not in template:
                raise UsageError(
                    f"the template {template!r} has no {name}", f"default: {_usual(model)!r}"
                )
        longest = longest_input(model)
        most = _MOST if longest is None else max(1, min(_MOST, longest // 2))
        return cls(model, template, most if budget is None else budget)

    def read(self, question: str, hit: Hit | None) -> list[int]:
        """The tokens, at most ``budget``: the chunk and its continuation are cut where they do not
        fit, never the question.

        Raises UsageError for a question that does not fit without any.
        """
        question = self._inert(question)
        if hit is None:
            ids = self._tokens(question)
            return ids if len(ids) <= self.budget else self._refuse(len(ids))
        text = self._inert(f"{hit.text}{hit.continuation}")
        title = self._inert(hit.title or hit.document)
        ids = self._written(title, text, question)
        if (over := len(ids) - self.budget) <= 0:
            return ids
        ends = self._ends(text)
        keep = len(ends)
        while over > 0:
            if not keep:
                return self._refuse(len(ids))
            keep = max(keep - over, 0)
            ids = self._written(title, text[: ends[keep - 1]] if keep else "", question)
            over = len(ids) - self.budget
        return ids

    def _written(self, title: str, text: str, question: str) -> list[int]:
        parts = {"title": title, "text": text, "question": question}
        return self._tokens(_NAMES.sub(lambda found: parts[found[1]], self.template))

    def _tokens(self, content: str) -> list[int]:
        """As the model's tokenizer writes an input; as a user's message if it knows of chats."""
        tokenizer = self.model.tokenizer
        chat = self.model.kind != SEQ2SEQ and bool(tokenizer.chat_template)
        if chat:
            message = [{"role": "user", "content": content}]
            content = tokenizer.apply_chat_template(
                message, tokenize=False, add_generation_prompt=True
            )
        ids: list[int] = tokenizer(content, add_special_tokens=not chat).input_ids
        return ids

    def _ends(self, text: str) -> list[int]:
        """Where each token of a text ends, in characters."""
        found = self.model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return [end for _, end in found.offset_mapping]

    def _inert(self, text: str) -> str:
        return inert(text, self.model.tokenizer)

    def _refuse(self, tokens: int) -> list[int]:
        raise UsageError(
            f"a question of {tokens:,} tokens with what goes around it is too long",
            f"a row of the reader takes {self.budget:,}",
        )


def inert(text: str, tokenizer: Any) -> str:
    """A text in which nothing is a special token: "</s>" becomes "< /s>"."""
    for token in tokenizer.added_tokens_decoder.values():
        if token.special and len(token.content) > 1:
            text = text.replace(token.content, f"{token.content[0]} {token.content[1:]}")
    return text


def longest_input(model: LanguageModel) -> int | None:
    """Tokens of an input at most; None where positions are relative."""
    found = getattr(model.network.config, "max_position_embeddings", None)
    return None if found is None else int(found)


def _usual(model: LanguageModel) -> str:
    if model.kind == SEQ2SEQ:
        return SEQ2SEQ_FORM
    return CHAT_FORM if model.tokenizer.chat_template else PLAIN_FORM
