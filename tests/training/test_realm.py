"""REALM: what is masked, what may be read for it, and whose scores are learned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from realm_helpers import TEXTS, masked_tokenizer, realm_lesson

from retro_cli.errors import UsageError
from retro_cli.models.marginal import document_prior
from retro_cli.training.course import CourseSettings
from retro_cli.training.realm import NOBODY, NULL, Blanks, Cloze, asked
from retro_cli.training.refresh import encode_all

SETTINGS = CourseSettings(steps=9, batch=4)


@pytest.fixture
def learning(tmp_path):
    found = realm_lesson(tmp_path, SETTINGS, every=2)
    yield found
    found.index.close()


def nudge(tower, by=0.5):
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in tower.weights().values():
            weight.add_(by * torch.randn(weight.shape, generator=random))


def cloze(text, masked, own=NOBODY):
    start = text.index(masked)
    return Cloze(text, start, start + len(masked), own)


def test_a_span_is_as_many_masks_as_it_has_tokens_and_nothing_of_it_is_left():
    blanks = Blanks(masked_tokenizer(), 64)
    one = cloze(TEXTS[3], "keeper of isle")
    assert blanks.tokenizer.decode(blanks.answer(one)) == "keeper of isle"
    assert blanks.masked(one, 3) == f"the [MASK] [MASK] [MASK]{TEXTS[3].partition('isle')[2]}"
    assert asked(one) == f"the{TEXTS[3].partition('isle')[2]}"


def test_masks_in_a_text_are_text_and_a_long_text_keeps_what_is_near_its_masks():
    tokenizer = masked_tokenizer()
    blanks = Blanks(tokenizer, 24)
    hostile = cloze("the [MASK] of [SEP] Ines home", "Ines")
    given = blanks.read([blanks.masked(hostile, 1)], ["the [MASK] lamp"])
    assert (given["input_ids"] == tokenizer.mask_token_id).sum() == 1
    long = cloze("the lamp " * 40 + "Ines" + " rowed home" * 40, "Ines")
    given = blanks.read([blanks.masked(long, 1)], ["the keeper " * 50])["input_ids"][0]
    assert len(given) <= 24
    place = (given == tokenizer.mask_token_id).nonzero().item()
    assert tokenizer.decode(given[place - 1 : place + 2]) == "lamp [MASK] rowed"


def test_a_model_without_a_mask_is_refused():
    tokenizer = masked_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(UsageError, match="mask"):
        Blanks(tokenizer, 64)


def test_the_texts_own_chunk_is_never_read_and_the_null_document_always(learning):
    seen = []
    add = learning.window.add
    learning.window.add = lambda ids, weights: (seen.append(ids), add(ids, weights))
    for step in range(8):
        clozes = learning.clozes(step)
        learning.loss(step)
        own = torch.tensor([each.own for each in clozes])[:, None]
        assert (own >= 10).all()
        assert not (seen[-1] == own).any()
        assert (seen[-1][:, -1] == NULL).all()
        assert all(len(set(row.tolist())) == learning.k + 1 for row in seen[-1])
    # The very text of a chunk would find it first.
    vector = encode_all(learning.documents, TEXTS[4:5])
    assert learning.index.search(vector, 1, [NOBODY])[0].tolist() == [4]
    assert 4 not in learning.index.search(vector, 9, [14])[0].tolist()


def test_the_loss_is_the_formula_over_chunks_and_null(learning):
    learning.network.eval()
    clozes = [cloze(TEXTS[2], "Ines", own=12), cloze(TEXTS[5], "1805", own=15)]
    learning.clozes = lambda step: clozes
    loss, _ = learning.loss(0)
    total = 0.0
    blanks, k = learning.blanks, learning.k
    for each in clozes:
        query = learning.queries.documents([asked(each)])
        vectors = learning.documents.documents(TEXTS)
        scores = (vectors @ query[0]).clone()
        order = [at for at in scores.argsort(descending=True).tolist() if 10 + at != each.own]
        read, null = order[:k], order[k]
        prior = document_prior(scores[[*read, null]], learning.temperature).exp()
        answer = blanks.answer(each)
        sentence = blanks.masked(each, len(answer))
        likely = 0.0
        for weight, text in zip(prior, [*(TEXTS[at] for at in read), None], strict=True):
            given = blanks.tokenizer(sentence, text, return_tensors="pt")
            masks = given["input_ids"][0] == blanks.tokenizer.mask_token_id
            with torch.no_grad():
                chances = learning.network(**given).logits[0, masks].softmax(-1)
            likely = likely + weight * chances[range(len(answer)), answer].prod()
        total -= likely.log()
    torch.testing.assert_close(loss, total / sum(len(blanks.answer(each)) for each in clozes))


def test_both_encoders_and_the_model_learn(learning):
    loss, _ = learning.loss(0)
    loss.backward()
    parts = {name.partition(".")[0] for name, weight in learning.trained().items()
             if weight.grad is not None and weight.grad.abs().sum() > 0}  # fmt: skip
    assert parts == {"model", "query", "document"}
    assert learning.queries.weights().keys() == learning.documents.weights().keys()
    towers = (learning.queries, learning.documents)
    mine, theirs = (next(iter(tower.weights().values())) for tower in towers)
    assert mine is not theirs


def test_candidates_of_an_old_index_are_scored_anew(learning):
    stale = learning.index.vectors.copy()
    nudge(learning.documents)
    queries = learning.queries.documents(["the keeper of isle 3"])
    (places,) = learning.index.search(queries.detach().numpy(), 4, [NOBODY])
    scores = learning.scores(queries, [[TEXTS[at] for at in places]])[0]
    fresh = (learning.documents.documents([TEXTS[at] for at in places]) @ queries[0]).detach()
    old = torch.from_numpy(stale[places]) @ queries[0].detach()
    torch.testing.assert_close(scores.detach(), fresh)
    assert not torch.allclose(fresh, old, atol=1e-2)
    np.testing.assert_array_equal(learning.index.vectors, stale)


def test_the_index_is_between_one_and_two_intervals_old_and_then_encoded_anew(learning):
    index, made = learning.index, {}
    first = index.vectors.copy()
    for step in range(9):
        made[step] = encode_all(learning.documents.snapshot(), TEXTS)
        index.at(step)
        wanted = first if step < 4 else made[step - step % 2 - 2]
        np.testing.assert_array_equal(index.vectors, wanted)
        assert index.made == (0 if step < 4 else step - step % 2 - 2)
        nudge(learning.documents, by=0.1)
    assert index.refreshed == 3
    assert not np.allclose(index.vectors, first, atol=1e-3)


def test_an_index_of_nothing_but_the_text_itself_leaves_the_null_document(learning):
    learning.index.ids = learning.index.ids[:1]
    learning.index.texts = learning.index.texts[:1]
    learning.index.vectors = learning.index.vectors[:1]
    learning.clozes = lambda step: [cloze(TEXTS[0], "Ines", own=10)]
    loss, said = learning.loss(0)
    assert torch.isfinite(loss)
    assert said["null"] == 1.0
    loss.backward()
