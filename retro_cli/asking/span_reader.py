"""Answers that stand in the evidence: each sentence is read alone, and its spans compete.

A small model follows no instructions, but it tells a likely answer from an unlikely one. So it
only chooses: p(y | x) = sum_z p(z | x) p(y | x, z) over the sentences z nearest to the question,
which is RAG-Sequence (Lewis et al. 2020) with sentences for documents, and y is a span of z.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from retro_cli.asking.sentences import Sentence
from retro_cli.asking.spans import AFTER, Node, span_tree
from retro_cli.asking.template import without_specials
from retro_cli.models.language import LanguageModel, end_tokens
from retro_cli.readers.cached import CachedNetwork

Tensor = Any
BEAMS, MOST = 3, 24
EXAMPLES = (
    ("The mill at Orrest", "The mill was built in 1764 by two brothers from Kendal. It ground oats "
     "for forty years, until a flood took the wheel.",
     "Who built the mill at Orrest?", "two brothers from Kendal"),
    ("Lantern fish", "Lantern fish rise at dusk to feed on plankton, and sink again to some 800 "
     "metres before dawn.",
     "How deep do lantern fish sink before dawn?", "some 800 metres"),
    ("A concert in Graz", "The orchestra played on 12 May 1931. The hall was half empty because "
     "of a strike of the trams.",
     "Why was the hall half empty?", "a strike of the trams"),
)  # fmt: skip


@dataclass(frozen=True)
class Span:
    """A span of a sentence as an answer. logprob: of its tokens with its end, in the sentence."""

    text: str
    sentence: Sentence
    logprob: float
    tokens: int


@dataclass(frozen=True)
class _Beam:
    """tokens: so far. node: where they stand in the tree of the sentence ``row``."""

    row: int
    tokens: tuple[int, ...]
    node: Node
    logprob: float
    place: int = 0  # its row in the network


class SpanReader:
    """Finds the likeliest spans of sentences with a causal language model."""

    def __init__(self, model: LanguageModel) -> None:
        self._tokenizer = model.tokenizer
        self._network = CachedNetwork(model.network)
        self._start: list[int] = self._encoded(_examples(), first=True)
        self._end = self._line_end(model)
        self._fed = False
        self._question = ""
        self._known: dict[tuple[str, str, str], list[tuple[str, float, int]]] = {}

    def _line_end(self, model: LanguageModel) -> int:
        """What ends an answer: the line, or the text where a tokenizer knows of no lines."""
        word, line = self._encoded(f"{AFTER} x"), self._encoded(f"{AFTER} x\n")
        if line != word:
            return line[-1]
        network = model.network
        return min(end_tokens(network.generation_config, network.config), default=line[-1])

    def _encoded(self, text: str, *, first: bool = False) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=first)
        return ids

    def _prompt(self, question: str, sentence: Sentence) -> list[int]:
        told = _told(sentence.hit.title, sentence.context, question)
        return [*self._start, *self._encoded(without_specials(self._tokenizer, told))]

    def _begun(self, rows: int) -> CachedNetwork:
        """The network after the examples, which are read once, in so many rows."""
        if not self._fed:
            self._network.next_logprobs([self._start])
            self._fed = True
        network = self._network.copy()
        network.pick([0] * rows)
        return network

    def read(self, question: str, sentences: Sequence[Sentence]) -> list[Span]:
        """The likeliest spans of each sentence; what was read last for a question is remembered."""
        if question != self._question:
            self._question, self._known = question, {}
        new = [each for each in sentences if _place(each) not in self._known]
        for each in new:
            self._known[_place(each)] = []
        for beam in self._search(question, new):
            text = self._tokenizer.decode(beam.tokens).strip()
            self._known[_place(new[beam.row])].append((text, beam.logprob, len(beam.tokens) + 1))
        return [
            Span(text, each, logprob, tokens)
            for each in sentences
            for text, logprob, tokens in self._known[_place(each)]
        ]

    def _search(self, question: str, sentences: Sequence[Sentence]) -> list[_Beam]:
        """The spans that a search with a few beams a sentence ends with, all side by side."""
        trees = [span_tree(each.text, self._tokenizer.backend_tokenizer) for each in sentences]
        rows = [row for row, tree in enumerate(trees) if tree.following]
        if not rows:
            return []
        starts = {row: self._prompt(question, sentences[row]) for row in rows}
        network = self._begun(len(rows))
        beams = [_Beam(row, (), trees[row], 0.0, place) for place, row in enumerate(rows)]
        done: list[_Beam] = []
        for _ in range(MOST):
            fed = [[*starts[beam.row], *beam.tokens] for beam in beams]
            ended, grown = _continued(beams, network.next_logprobs(fed), self._end)
            done += ended
            beams = [beam for row in rows for beam in _worth_it(grown, done, row)]
            if not beams:
                break
            network.pick([beam.place for beam in beams])
            beams = [replace(beam, place=place) for place, beam in enumerate(beams)]
        return done

    def score(self, question: str, sentences: Sequence[Sentence], answer: str) -> list[float]:
        """log p(answer, and its end | question, sentence) for each sentence, natural."""
        if not sentences:
            return []
        behind = self._encoded(f"{AFTER} {answer.strip()}")[len(self._encoded(AFTER)) :]
        target = [*behind, self._end]
        network = self._begun(len(sentences))
        rows = [self._prompt(question, sentence) for sentence in sentences]
        total = torch.zeros(len(rows))
        for token in target:
            total += network.next_logprobs(rows)[:, token].cpu()
            rows = [[*row, token] for row in rows]
        found: list[float] = total.tolist()
        return found


def _place(sentence: Sentence) -> tuple[str, str, str]:
    """What of a sentence decides how it is read."""
    return sentence.hit.title, sentence.context, sentence.text


def _continued(
    beams: Sequence[_Beam], logprobs: Tensor, end: int
) -> tuple[list[_Beam], list[_Beam]]:
    """The beams that end here, and the likeliest that go on, none outside its tree."""
    ended, grown = [], []
    for beam, of_row in zip(beams, logprobs, strict=True):
        if beam.node.ends:
            ended.append(replace(beam, logprob=beam.logprob + float(of_row[end])))
        tokens = list(beam.node.following)
        if not tokens:
            continue
        best = of_row[tokens].topk(min(BEAMS, len(tokens)))
        for logprob, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            token = tokens[place]
            grown.append(
                replace(
                    beam, tokens=(*beam.tokens, token), node=beam.node.following[token],
                    logprob=beam.logprob + logprob,
                )
            )  # fmt: skip
    return ended, grown


def _worth_it(grown: Collection[_Beam], done: Collection[_Beam], row: int) -> list[_Beam]:
    """The best few of a sentence; none once so many have ended that are likelier already."""
    best = sorted((beam for beam in grown if beam.row == row), key=lambda beam: -beam.logprob)
    ended = sorted((beam.logprob for beam in done if beam.row == row), reverse=True)
    if best and len(ended) >= BEAMS and best[0].logprob <= ended[BEAMS - 1]:
        return []
    return best[:BEAMS]


def _examples() -> str:
    return "".join(
        f"{_told(title, text, question)} {answer}\n\n" for title, text, question, answer in EXAMPLES
    )


def _told(title: str, text: str, question: str) -> str:
    head = f"Title: {_line(title)}\n" if title.strip() else ""
    return f"{head}Text: {_line(text)}\nQuestion: {_line(question)}\n{AFTER}"


def _line(text: str) -> str:
    return " ".join(text.split())
