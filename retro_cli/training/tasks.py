"""Questions and chunks as what a lesson asks at each step, a function of the step and the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from retro_cli.chunks.rows import Chunk
from retro_cli.exchange.questions import Question
from retro_cli.models.language import CAUSAL, LanguageModel, end_tokens
from retro_cli.query.retrieve import Retriever
from retro_cli.training.course import CourseSettings, places
from retro_cli.training.mining import Mined, Passages
from retro_cli.training.rag import Task
from retro_cli.training.realm import NOBODY, Cloze
from retro_cli.training.salient import Span, salient_spans

_LONGEST = 128  # tokens of an answer
_ROWS = 1024


def answer_tokens(model: LanguageModel, answer: str) -> tuple[int, ...]:
    """The tokens of an answer as the model is to write it, with what ends a text."""
    # A model without a chat template goes on where the question ends.
    plain = model.kind == CAUSAL and not model.tokenizer.chat_template
    text = f" {answer}" if plain else answer
    ids = model.tokenizer(text, add_special_tokens=False).input_ids[:_LONGEST]
    ends = sorted(end_tokens(model.network.generation_config, model.network.config))
    return (*ids, *ends[:1])


def answer_tasks(
    questions: Sequence[Question], model: LanguageModel, settings: CourseSettings
) -> Callable[[int], list[Task]]:
    """Each question with one of its answers, another one at another pass perhaps."""
    targets = [[answer_tokens(model, answer) for answer in each.answers] for each in questions]

    def at(step: int) -> list[Task]:
        random = np.random.default_rng([settings.seed, step, 1])
        chosen = places(settings.seed, len(questions), settings.batch, step)
        return [
            Task(questions[place].text, targets[place][random.integers(len(targets[place]))])
            for place in chosen
        ]

    return at


def question_clozes(questions: Sequence[Question]) -> list[tuple[str, list[Span], int]]:
    """Questions, each with its answer behind it to be masked."""
    found = []
    for question in questions:
        for answer in question.answers:
            text = f"{question.text} {answer}"
            found.append((text, [(len(text) - len(answer), len(text))], NOBODY))
    return found


def chunk_clozes(chunks: Passages) -> list[tuple[str, list[Span], int]]:
    """Chunks that have something salient in them; each is kept from itself."""
    spans = [salient_spans(text) for text in chunks.texts]
    rows = zip(chunks.texts, spans, chunks.ids.tolist(), strict=True)
    return [(text, mine, own) for text, mine, own in rows if mine]


def cloze_tasks(
    texts: Sequence[tuple[str, list[Span], int]], settings: CourseSettings
) -> Callable[[int], list[Cloze]]:
    """Texts of which one span is masked, drawn anew each time."""

    def at(step: int) -> list[Cloze]:
        random = np.random.default_rng([settings.seed, step, 1])
        found = []
        for place in places(settings.seed, len(texts), settings.batch, step):
            text, spans, own = texts[place]
            start, end = spans[random.integers(len(spans))]
            found.append(Cloze(text, start, end, own))
        return found

    return at


def mined_tasks(mined: Sequence[Mined], settings: CourseSettings) -> Callable[[int], list[Mined]]:
    return lambda step: [
        mined[place] for place in places(settings.seed, len(mined), settings.batch, step)
    ]


def searchable_passages(retriever: Retriever) -> Passages:
    """Every chunk that a search may return, in memory."""
    ids = np.flatnonzero(retriever.live()).astype(np.int64)
    chunks: list[Chunk] = []
    for first in range(0, len(ids), _ROWS):
        chunks += retriever.rows.get(ids[first : first + _ROWS].tolist())
    return Passages(ids, [c.text for c in chunks], [c.document for c in chunks])
