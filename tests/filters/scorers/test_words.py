from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import InputNotFound, UnreadableInput
from retro_cli.filters.scorers.contract import Batch
from retro_cli.filters.scorers.words import WordScorer, load_words


def score(scorer: WordScorer, text: str) -> float:
    return float(scorer.score(Batch([text], None))[0])


def test_one_hit_in_twenty_words_is_a_half():
    scorer = WordScorer(["bother"])
    assert score(scorer, "Bother! " + "calm " * 19) == pytest.approx(0.5)


def test_no_hit_is_zero_and_so_is_an_empty_text():
    scorer = WordScorer(["bother"])
    assert score(scorer, "all is well") == 0
    assert score(scorer, "") == 0


def test_more_hits_score_more_and_never_more_than_one():
    scorer = WordScorer(["bother"])
    scores = [score(scorer, "bother " * hits + "calm " * (30 - hits)) for hits in range(31)]
    assert scores == sorted(scores)
    assert scores[-1] < 1


def test_only_whole_words_count():
    scorer = WordScorer(["ass", "hell"])
    assert score(scorer, "The assistant passed a shell to the class.") == 0
    assert score(scorer, "ASS") > 0


def test_a_phrase_counts_once_at_its_longest():
    scorer = WordScorer(["piece of junk", "junk", "piece"])
    once = score(scorer, "a piece of junk lay there")
    assert once == pytest.approx(1 / (1 + 6 / 20))
    assert score(scorer, "a piece of string, some junk") == pytest.approx(2 / (2 + 6 / 20))


def test_a_phrase_that_begins_and_does_not_end_hides_no_hit():
    scorer = WordScorer(["a b c", "b"])
    assert score(scorer, "a b d") == pytest.approx(1 / (1 + 3 / 20))


def test_stretched_and_starred_words_are_found():
    scorer = WordScorer(["darn", "d*rn"])
    assert score(scorer, "daaaarn") > 0
    assert score(scorer, "D*RN it") > 0


def test_mentions_and_addresses_are_not_read():
    assert score(WordScorer(["darn"]), "@darn http://darn.example/darn hello") == 0


@given(st.lists(st.text(max_size=60), max_size=8))
def test_any_text_scores_between_zero_and_one(texts):
    scores = load_words().score(Batch(texts, None))
    assert scores.shape == (len(texts),)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_file_is_read_without_its_comments_and_its_order(tmp_path):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("\ufeff# mild\nBother\n\nso and so\n", encoding="utf-8")
    two.write_text("so and so\nbother\n", encoding="utf-8")
    assert load_words(one).fingerprint == load_words(two).fingerprint
    assert load_words(one).fingerprint != WordScorer(["bother"]).fingerprint
    assert score(load_words(one), "mild") == 0


@pytest.mark.parametrize("content", ["", "# only a comment\n", "\n \n", "123\n"])
def test_a_list_without_words_is_refused(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_text(content)
    with pytest.raises(InputNotFound, match="no words"):
        load_words(path)


def test_a_missing_list_a_folder_and_another_encoding_are_refused(tmp_path):
    with pytest.raises(InputNotFound):
        load_words(tmp_path / "none.txt")
    with pytest.raises(InputNotFound):
        load_words(tmp_path)
    path = tmp_path / "latin.txt"
    path.write_bytes("fl\u00e4tz\n".encode("latin-1"))
    with pytest.raises(UnreadableInput, match="byte 2"):
        load_words(path)


def test_the_shipped_list_leaves_plain_prose_alone():
    prose = "The dam was closed in spring, and the assistant counted the salmon in the pass."
    assert score(load_words(), prose) == 0
    assert score(load_words(), "What an idiot.") > 0.5
