from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.embeddings.resolve import DEFAULT_ENCODER, resolve
from retro_cli.errors import IntegrityError
from retro_cli.filters.scorers import default
from retro_cli.filters.scorers.contract import Batch
from retro_cli.filters.scorers.ngrams import NgramModel, pair_key, word_keys
from retro_cli.filters.scorers.tokens import words

HARMLESS = [
    "The ferry leaves at nine, and the harbour master keeps the book.",
    "As a Muslim woman, I teach mathematics at a school in the city.",
    "The gardener leaned on his hoe and looked at the beans.",
]
TOXIC = [
    "You are a worthless idiot, shut up.",
    "fuck off you stupid bitch",
    "What a pathetic piece of shit he is, and his friends are morons.",
]


@pytest.fixture(scope="module")
def encoder_fingerprint() -> str:
    return resolve(DEFAULT_ENCODER, verify=False).spec.fingerprint()


@pytest.fixture(scope="module")
def batch() -> Batch:
    from retro_cli.embeddings.encoder import load_encoder

    texts = HARMLESS + TOXIC
    encoder = load_encoder(resolve(DEFAULT_ENCODER, verify=False), purpose="query")
    return Batch(texts, encoder.encode_documents(texts).astype(np.float16))


def test_its_own_encoder_gets_both_and_any_other_the_text_scorer(encoder_fingerprint):
    both, text = default.load_default(encoder_fingerprint), default.load_default("other")
    assert (both.needs_text, both.needs_vectors) == (True, True)
    assert (text.needs_text, text.needs_vectors) == (True, False)
    assert both.fingerprint != text.fingerprint
    assert both.fingerprint == default.load_default(encoder_fingerprint).fingerprint


@pytest.mark.parametrize("kind", ["both", "text"])
def test_insults_score_over_the_threshold_and_plain_sentences_under(
    kind, batch, encoder_fingerprint
):
    scorer = default.load_default(encoder_fingerprint if kind == "both" else "other")
    over = scorer.score(batch) > default.THRESHOLD
    assert over.tolist() == [False] * len(HARMLESS) + [True] * len(TOXIC)


def test_a_text_without_words_scores_zero(encoder_fingerprint):
    vectors = np.full((3, 384), 0.05, np.float16)
    batch = Batch(["", "1234 +++", "@someone https://example.org"], vectors)
    for scorer in (default.load_default(encoder_fingerprint), default.load_default("other")):
        assert scorer.score(batch).tolist() == [0, 0, 0]


def test_a_row_does_not_depend_on_the_rows_beside_it(batch, encoder_fingerprint):
    scorer = default.load_default(encoder_fingerprint)
    whole = scorer.score(batch)
    for row, text in enumerate(batch.texts):
        alone = scorer.score(Batch([text], batch.vectors[row : row + 1]))
        assert alone[0] == whole[row]


@given(st.lists(st.text(max_size=80), max_size=5))
def test_any_text_scores_between_zero_and_one(texts):
    scores = default.TextScorer(default.shipped()).score(Batch(texts, None))
    assert scores.shape == (len(texts),)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_changed_weights_are_refused(tmp_path, monkeypatch):
    changed = bytearray(default.SHIPPED.read_bytes())
    changed[-1] ^= 1
    path = tmp_path / "default.safetensors"
    path.write_bytes(changed)
    monkeypatch.setattr(default, "SHIPPED", path)
    with pytest.raises(IntegrityError, match="sha256"):
        default.load_default("any")


def test_the_shipped_weights_are_small_and_have_a_card():
    assert default.SHIPPED.stat().st_size < 48_000
    assert default.SHIPPED.with_name("card.md").is_file()


def test_quantised_weights_are_near_the_originals():
    weights = np.random.default_rng(0).standard_normal(1000)
    stored, unit = default.quantised(weights)
    assert stored.dtype == np.int8
    assert np.abs(stored * unit - weights).max() <= unit / 2 + 1e-12


def test_a_logit_is_the_bias_and_the_scaled_sum_of_known_features():
    keys = [word_keys("red")[0], word_keys("read")[-1], pair_key("red", "car")]
    model = NgramModel(np.array(keys, np.uint32), np.array([1.0, 10.0, 100.0], np.float32), 0.5)
    red, pair, repeated, unknown, nothing = model.logits(
        ["red", "red car", "red car red car", "blue", "..."]
    )
    assert red == pytest.approx(1.5)
    assert pair == pytest.approx(0.5 + 101 / np.sqrt(2))
    assert repeated == pair
    assert unknown == 0.5
    assert nothing == -np.inf


def test_an_unseen_word_shares_letter_sequences_with_its_relatives():
    shared = set(word_keys("stinker")) & set(word_keys("stinkers"))
    assert len(shared) > 10
    assert len(word_keys("a" * 5000)) == len(word_keys("a" * 40))


def test_words_are_folded_unwrapped_and_unescaped():
    text = "!!! RT @someone: Soooo &amp;amp; so, DON\u2019T f**k up https://t.co/x \u2026"
    assert words(text) == ["so", "so", "don't", "f**k", "up"]
    assert words("\ufb01ne STRASSE stra\u00dfe") == ["fine", "strasse", "strasse"]
