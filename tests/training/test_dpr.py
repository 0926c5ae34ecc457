"""DPR's loss, and what it is given: passages with the answer, and hard ones without."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fact_helpers import encoder_folder

from retro_cli.embeddings.resolve import resolve
from retro_cli.exchange.questions import Question
from retro_cli.models.tower import Tower
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.course import Course, CourseSettings
from retro_cli.training.dpr import DprLesson, in_batch_nats
from retro_cli.training.mining import BM25, Mined, Passages, mine
from retro_cli.training.tasks import mined_tasks

TEXTS = [
    "the keeper of the light was Kirsten Strand",
    "the keeper of the light left in 1841",
    "the light of the harbour was out",
    "a ferry named Kirsten Strand carries cars",
    "sheep",
]
PASSAGES = Passages(np.arange(5), TEXTS, ["light", "light", "harbour", "ferry", "field"])


def unit(*shape, seed=0):
    found = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(found, dim=-1)


def test_the_loss_is_equation_3_over_own_passage_others_and_hard_negatives():
    queries, passages = unit(3, 8), unit(6, 8, seed=1)
    nats = in_batch_nats(queries, passages, 0.1)
    for row in range(3):
        scores = [math.exp(float(queries[row] @ passage) / 0.1) for passage in passages]
        assert float(nats[row]) == pytest.approx(-math.log(scores[row] / sum(scores)), rel=1e-4)


def test_a_passage_that_is_a_questions_own_once_more_is_no_negative_of_it():
    queries, passages = unit(2, 8), unit(3, 8, seed=1)
    passages[2] = passages[0]
    same = torch.tensor([[True, False, True], [False, True, False]])
    nats = in_batch_nats(queries, passages, 0.1, same)
    torch.testing.assert_close(nats[:1], in_batch_nats(queries, passages[:2], 0.1)[:1])
    torch.testing.assert_close(nats[1], in_batch_nats(queries, passages, 0.1)[1])


def test_bm25_ranks_by_rare_shared_words_and_finds_nothing_without_any():
    rank = BM25(TEXTS)
    assert rank("Kirsten's ferry", 5)[0] == 3
    assert set(rank("the light", 5)) == {0, 1, 2}
    assert rank("submarine", 5) == []
    assert BM25([])("anything", 3) == []


def test_bm25_is_its_formula():
    rank = BM25(TEXTS, k1=1.2, b=0.75)
    lengths = [len(text.split()) for text in TEXTS]
    mean = sum(lengths) / 5
    scores = []
    for text, length in zip(TEXTS, lengths, strict=True):
        score = 0.0
        for word in ("keeper", "strand"):
            n = sum(word in other.lower().split() for other in TEXTS)
            times = text.lower().split().count(word)
            rarity = math.log(1 + (5 - n + 0.5) / (n + 0.5))
            score += rarity * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / mean))
        scores.append(score)
    order = sorted((place for place in range(5) if scores[place]), key=lambda p: (-scores[p], p))
    assert rank("keeper strand", 5) == order


def test_the_positive_holds_the_answer_and_the_negatives_do_not():
    asked = Question("q", "Who was the keeper of the light?", ("Kirsten Strand",), ("light",))
    (found,) = mine([asked], PASSAGES, BM25(TEXTS), 3)
    assert found.positive == 0
    assert found.negatives == (2,)  # 1 is of the same document, 3 holds the answer
    unnamed = Question("q", "Who was the keeper of the light?", ("kirsten  strand",))
    (found,) = mine([unnamed], PASSAGES, BM25(TEXTS), 1)
    assert (found.positive, found.negatives) == (0, (2,))


def test_whole_words_answer_and_questions_without_a_passage_are_left_out():
    nobody = Question("q", "Who was the keeper?", ("Kirst",))
    elsewhere = Question("q", "Who was the keeper?", ("Kirsten Strand",), ("harbour",))
    assert mine([nobody, elsewhere], PASSAGES, BM25(TEXTS), 1) == []
    unlike = Question("q", "submarine?", ("1841",), ("light",))
    (found,) = mine([unlike], PASSAGES, BM25(TEXTS), 1)
    assert found.positive == 1


def towers(folder, two):
    documents = Tower.open(resolve(str(encoder_folder(folder))))
    return (documents.copy() if two else documents), documents


@pytest.mark.parametrize("two", [False, True])
def test_it_learns_what_the_encoder_does_not_know(two, tmp_path):
    """Questions in words that no passage has: isle n is asked for by gold n."""
    texts = [f"isle{n} has0" for n in range(12)]
    mined = [Mined(f"gold{n}", n, ((n + 1) % 12,)) for n in range(12)]
    queries, documents = towers(tmp_path / "e", two)
    settings = CourseSettings(steps=40, batch=6, learning_rate=0.05, warmup=2, save_every=40)
    lesson = DprLesson(queries, documents, texts, mined_tasks(mined, settings), 0.1)
    before = documents.documents(texts).detach().clone()
    course = Course(lesson, settings, Checkpoints(tmp_path / "c", "r"), tmp_path / "m.jsonl")
    outcome = course.run()
    assert np.mean(outcome.losses[-5:]) < 0.2 < 1.5 < outcome.losses[0]
    with torch.no_grad():
        found = queries.queries([f"gold{n}" for n in range(12)]) @ documents.documents(texts).T
    assert found.argmax(dim=1).tolist() == list(range(12))
    assert not torch.allclose(documents.documents(texts), before)
    assert len(lesson.trained()) == (2 if two else 1)
