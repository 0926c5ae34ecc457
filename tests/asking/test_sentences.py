"""The sentences of the evidence, and how well they fit a question."""

from __future__ import annotations

import numpy as np
import pytest
from reader_helpers import text_hit

from retro_cli.asking.sentences import scored, sentences_of, shares


def test_sentences_come_once_whole_and_with_the_one_before():
    first = text_hit("A lamp was lit. She carries 38", 0, continuation=" cars. It")
    second = text_hit("cars. It rained.", 1)
    found = sentences_of([first, second])
    assert [(each.number, each.text) for each in found] == [
        (1, "A lamp was lit."),
        (1, "She carries 38 cars."),
        (2, "It rained."),
    ]
    assert found[1].context == "A lamp was lit. She carries 38 cars."


def test_the_nearest_sentences_come_first_by_meaning_and_by_words():
    hit = text_hit("The ferry sails. The lamp burns. Sheep graze.")
    told = []

    def documents(texts):
        told.extend(texts)
        table = {"ferry": (1, 0), "lamp": (0.6, 0.8), "Sheep": (0, 1)}
        rows = [next(v for word, v in table.items() if word in text) for text in texts]
        return np.array(rows, dtype=np.float32)

    found = scored("what", [hit], lambda _: np.array([[1, 0]], np.float32), documents)
    texts = ["The ferry sails.", "The lamp burns.", "Sheep graze."]
    assert [each.text for each in found] == texts
    assert found[0].score > found[1].score > found[2].score
    near = np.array([[0.8, 0.6]], np.float32)
    assert scored("lamp burns", [hit], lambda _: near, documents)[0].text == "The lamp burns."
    assert scored("what", [], lambda _: near, documents) == []


def test_rare_words_of_the_question_count_more_and_no_words_count_nothing():
    found = shares(
        "the keeper of the light", ["the ferry", "the keeper", "the keeper of the light"]
    )
    assert found[0] < found[1] < found[2] == pytest.approx(1)
    assert shares("?!", ["the ferry"]).tolist() == [0]
    assert shares("the sheep", ["the ferry", "the boat"]).max() < 0.5
