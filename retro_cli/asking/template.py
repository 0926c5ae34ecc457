"""What a model is told: format strings for passages and questions, and a model's chat format."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from retro_cli.asking.wording import REFUSED
from retro_cli.errors import InputNotFound, UsageError

_FIELDS: dict[str, set[str]] = {
    "system": {"refusal"},
    "passage": {"number", "title", "source", "document", "text"},
    "prompt": {"passages", "question", "refusal"},
    "closed_book": {"question", "refusal"},
    "refusal": set(),
}
_NEEDED = {"passage": {"text"}, "prompt": {"passages", "question"}, "closed_book": {"question"}}


@dataclass(frozen=True)
class Template:
    """Format strings; ``{{`` and ``}}`` stand for braces.

    system: what comes first. passage: {number}, {title}, {source}, {document}, {text}.
    prompt: {passages} and {question}. closed_book: {question}, where there are no passages.
    refusal: what a model is to say, and what says that it does not know; {refusal} in the others.
    Raises UsageError for a field that is not known, or one that is missing.
    """

    system: str = (
        "You answer questions from numbered sources, in a few words. After the answer give the "
        'number of the source and the sentence that proves it, as in: Paris [1] "The capital of '
        'France is Paris." If the sources do not hold the answer, reply: {refusal}'
    )
    passage: str = "[{number}] {title}\n{text}"
    prompt: str = "Sources:\n\n{passages}\n\nQuestion: {question}"
    closed_book: str = "Question: {question}\nAnswer in a few words."
    refusal: str = REFUSED

    def __post_init__(self) -> None:
        for name, allowed in _FIELDS.items():
            _check(name, getattr(self, name), allowed, _NEEDED.get(name, set()))

    def messages(self, question: str, passages: Sequence[str] | None) -> list[dict[str, str]]:
        """What a chat is asked. passages: as ``shown`` makes them; None for a closed book."""
        if passages is None:
            asked = self.closed_book.format(question=question, refusal=self.refusal)
            return [{"role": "user", "content": asked}]
        told = self.system.format(refusal=self.refusal)
        asked = self.prompt.format(
            passages="\n\n".join(passages), question=question, refusal=self.refusal
        )
        return [{"role": "system", "content": told}] * bool(told) + [
            {"role": "user", "content": asked}
        ]

    def shown(self, number: int, title: str, source: str, document: str, text: str) -> str:
        """One passage, as a model sees it."""
        return self.passage.format(
            number=number, title=title, source=source, document=document, text=text
        )


def load_template(path: Path) -> Template:
    """A template from a TOML file that names some of its strings; the others are the default's.

    Raises InputNotFound and UsageError.
    """
    known = [field.name for field in fields(Template)]
    hint = f"a TOML file with some of {', '.join(known)}"
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputNotFound(f"{path} cannot be read ({error.strerror})", hint) from error
    except ValueError as error:  # of TOML, and what is not UTF-8
        raise UsageError(f"{path}: {error}", hint) from error
    for name, value in found.items():
        if name not in known or not isinstance(value, str):
            raise UsageError(f"{path}: {name} is no string of a template", hint)
    return replace(Template(), **found)


def chat_text(tokenizer: Any, messages: Sequence[dict[str, str]]) -> str:
    """The text of a chat up to the answer, as the model's own chat template has it.

    For a tokenizer without one, the messages one after the other, and ``Answer:``.
    """
    clean = [{**each, "content": without_specials(tokenizer, each["content"])} for each in messages]
    if not getattr(tokenizer, "chat_template", None):
        return "\n\n".join(each["content"] for each in clean) + "\nAnswer:"
    text: str = tokenizer.apply_chat_template(clean, tokenize=False, add_generation_prompt=True)
    return text


def without_specials(tokenizer: Any, text: str) -> str:
    """A text whose words cannot be taken for the marks of a chat: ``<|im_end|>`` is broken up."""
    for mark in tokenizer.all_special_tokens:
        if mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def _check(name: str, text: str, allowed: set[str], needed: set[str]) -> None:
    """Only plain fields of the given names: no attributes, indices, conversions or formats."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UsageError(f"the template's {name}: {error}", "write {{ and }} for braces") from error
    named = {field for _, field, _, _ in parts if field is not None}
    plain = all(not form and not conversion for _, field, form, conversion in parts if field)
    if not named <= allowed or not plain:
        wrong = ", ".join(sorted(named - allowed)) or "a format"
        choices = ", ".join(f"{{{each}}}" for each in sorted(allowed)) or "none"
        raise UsageError(f"the template's {name} asks for {wrong}", f"its fields are {choices}")
    if missing := needed - named:
        raise UsageError(
            f"the template's {name} lacks {{{min(missing)}}}", "a model has to be told of it"
        )
