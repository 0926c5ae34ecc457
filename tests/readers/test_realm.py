"""The masks of a sentence over a mixture of documents: its laws, and what is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from generate_helpers import hit
from hypothesis import given, settings
from hypothesis import strategies as st
from model_helpers import shaken
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from retro_cli.errors import UsageError
from retro_cli.models.language import MASKED, LanguageModel
from retro_cli.readers.interface import Evidence
from retro_cli.readers.own_text import OwnText
from retro_cli.readers.realm import RealmReader, likeliest_together

TEXT = "the [MASK] of the [MASK] boat."
TEXTS = ("the keeper saw the light", "a storm in the harbour of the island", "boats")


@pytest.fixture(scope="module")
def model(wordpiece_path):
    tokenizer = BertTokenizerFast(tokenizer_file=str(wordpiece_path))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=64,
    )  # fmt: skip
    network = shaken(BertForMaskedLM(config)).eval()
    return LanguageModel(wordpiece_path.parent, MASKED, network, tokenizer)


class Ranked:
    """Finds the same hits for everything, best first, as many as are asked for."""

    def __init__(self, scores, texts=TEXTS, documents=None):
        self.asked = []
        names = documents or [f"d{number}" for number in range(len(texts))]
        self.hits = tuple(
            replace(
                hit(number, score), text=text,
                document=name, source=name,
            )
            for number, (score, text, name) in enumerate(zip(scores, texts, names, strict=True))
        )  # fmt: skip

    def search(self, queries, k):
        self.asked.append((list(queries), k))
        hits = self.hits[:k]
        return [Evidence(text, hits, np.empty((len(hits), 0), np.int32), "ip") for text in queries]


def by_hand(model, text, document=None):
    """(masks, vocabulary) log p of one pass, with a document or none."""
    given = (text,) if document is None else (text, document)
    batch = model.tokenizer(*given, return_tensors="pt")
    places = batch.input_ids[0] == model.tokenizer.mask_token_id
    with torch.no_grad():
        return model.network(**batch).logits[0, places].log_softmax(-1)


def chances(found):
    return [{each.token: each.probability for each in mask} for mask in found.masks]


def test_each_mask_is_the_mean_over_the_documents_and_none(model):
    reader = RealmReader(model, k=3, null_score=0.4)
    found = reader.fill(TEXT, Ranked([1.5, 0.9, -0.3]), top=1000)
    prior = torch.tensor([1.5, 0.9, -0.3, 0.4]).softmax(0)
    assert found.prior == pytest.approx(prior.tolist(), abs=1e-6)
    apart = torch.stack([by_hand(model, TEXT, each) for each in (*TEXTS, None)]).exp()
    expected = (prior[:, None, None] * apart).sum(0)
    for mask, row in zip(found.masks, expected, strict=True):
        assert sum(each.probability for each in mask) == pytest.approx(1, abs=1e-5)
        for each in mask:
            assert each.probability == pytest.approx(float(row[each.token]), abs=1e-6)
    for place, one in enumerate(found.chosen):
        weights = prior * apart[:, place, one.token]
        assert one.posterior == pytest.approx((weights / weights.sum()).tolist(), abs=1e-5)


def test_reading_nothing_is_to_fill_the_masks_plainly(model):
    plain = by_hand(model, TEXT).exp()
    for retriever in (None, Ranked([], [])):
        found = RealmReader(model).fill(TEXT, retriever, top=1000)
        for mask, row in zip(chances(found), plain, strict=True):
            for token, chance in mask.items():
                assert chance == pytest.approx(float(row[token]), abs=1e-6)
        assert found.prior == (1.0,)
        assert [one.token for one in found.chosen] == plain.argmax(-1).tolist()


def test_copies_of_a_document_are_as_one_and_the_order_does_not_matter(model):
    reader = RealmReader(model, k=3, null_score=-1e9)
    one = reader.fill(TEXT, Ranked([1.5], TEXTS[:1]), top=20)
    copies = reader.fill(TEXT, Ranked([1.5, 0.9, 0.2], TEXTS[:1] * 3), top=20)
    assert chances(copies)[0] == pytest.approx(chances(one)[0], abs=1e-6)
    reader = RealmReader(model, k=3, null_score=0.1)
    there = reader.fill(TEXT, Ranked([1.5, 0.9, -0.3]), top=20)
    back = reader.fill(TEXT, Ranked([-0.3, 0.9, 1.5], TEXTS[::-1]), top=20)
    assert chances(there)[1] == pytest.approx(chances(back)[1], abs=1e-6)


def test_the_null_document_scores_as_the_first_that_is_not_read(model):
    found = RealmReader(model, k=2).fill(TEXT, Ranked([1.5, 0.9, -0.3]))
    assert found.null_score == -0.3
    assert len(found.evidence.hits) == 2
    assert len(found.prior) == 3
    few = RealmReader(model, k=3).fill(TEXT, Ranked([1.5, 0.9, -0.3]))
    assert few.null_score == -0.3


def test_the_texts_own_document_is_never_read_and_others_take_its_place(model):
    own = "the keeper of the old boat."
    texts = [own, "more of it", *TEXTS]
    ranked = Ranked([2.0, 1.9, 1.5, 0.9, -0.3], texts, ["self", "self", "a", "b", "c"])
    parts = TEXT.split("[MASK]")
    found = RealmReader(model, k=2).fill(TEXT, ranked, own=OwnText(parts))
    assert [each.document for each in found.evidence.hits] == ["a", "b"]
    assert [each.rank for each in found.evidence.hits] == [1, 2]
    assert found.own == 2
    assert found.null_score == -0.3


def test_it_asks_for_more_while_too_few_are_left(model):
    texts = ["the keeper of the old boat."] * 20 + list(TEXTS)
    ranked = Ranked(list(np.linspace(2, 1, 23)), texts)
    parts = TEXT.split("[MASK]")
    found = RealmReader(model, k=2).fill(TEXT, ranked, own=OwnText(parts))
    assert [each.text for each in found.evidence.hits] == list(TEXTS[:2])
    assert [k for _, k in ranked.asked] == [6, 12, 24]


def test_only_own_documents_leave_nothing_to_read(model):
    ranked = Ranked([2.0], ["the keeper of the old boat."])
    found = RealmReader(model, k=2).fill(TEXT, ranked, own=OwnText(TEXT.split("[MASK]")))
    assert found.evidence.hits == ()
    assert found.prior == (1.0,)


def test_masks_are_not_looked_up(model):
    ranked = Ranked([1.0], TEXTS[:1])
    RealmReader(model).fill(TEXT, ranked)
    assert ranked.asked[0][0] == ["the of the boat."]


def test_a_document_is_cut_and_its_masks_are_text(model):
    long = "[MASK] [SEP] the keeper " * 40
    found = RealmReader(model, null_score=-1e9).fill(TEXT, Ranked([1.0], [long]), top=3)
    assert len(found.masks) == 2
    ids = model.tokenizer(TEXT, "[ MASK] [ SEP] the keeper " * 40, truncation="only_second",
                          max_length=64, return_tensors="pt")  # fmt: skip
    with torch.no_grad():
        logits = model.network(**ids).logits[0]
    places = (ids.input_ids[0] == model.tokenizer.mask_token_id).nonzero().flatten()
    assert len(places) == 2
    best = logits[places].argmax(-1).tolist()
    assert [mask[0].token for mask in found.masks] == best


def test_the_sentence_is_written_with_what_was_found(model):
    found = RealmReader(model).fill("The [MASK] of THE [MASK] boat.", None)
    first, second = (one.text for one in found.chosen)
    assert "[MASK]" not in found.text
    assert found.text.endswith(" boat.")
    assert first.removeprefix("##") in found.text
    assert second.removeprefix("##") in found.text


@pytest.mark.parametrize(
    ("text", "message"),
    [("no gap at all", "nothing to fill"), ("the [MASK] " * 70, "too long")],
)
def test_a_text_that_cannot_be_filled_is_refused(model, text, message):
    with pytest.raises(UsageError, match=message):
        RealmReader(model).fill(text, None)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), masks=st.integers(1, 3))
def test_the_likeliest_together_is_found_and_has_its_probability(seed, masks):
    dice = torch.Generator().manual_seed(seed)
    prior = torch.randn(3, generator=dice).log_softmax(0)
    likelihoods = torch.randn(3, masks, 3, generator=dice).log_softmax(-1)
    tokens, joint = likeliest_together(prior, likelihoods)
    every = {
        combination: float((prior + likelihoods[:, range(masks), combination].sum(1)).logsumexp(0))
        for combination in map(tuple, torch.cartesian_prod(*[torch.arange(3)] * masks)
                               .reshape(-1, masks).tolist())
    }  # fmt: skip
    assert float(joint.logsumexp(0)) == pytest.approx(max(every.values()), abs=1e-5)
    assert every[tuple(tokens)] == pytest.approx(max(every.values()), abs=1e-5)
