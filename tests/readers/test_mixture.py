"""RAG-Token and RAG-Sequence: the identities that their formulas imply, with three networks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_helpers import (
    QUESTION,
    TEXTS,
    Known,
    alone,
    evidence,
    language_model,
    reader,
    reading,
    stepped,
)

from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate, score
from retro_cli.models.marginal import sequence_logprob, token_logprobs
from retro_cli.readers.inputs import Form

TARGET = [17, 80, 4, 210, 80]
SCORES = (0.3, 1.4, -0.2, 0.9)
CLOSE = {"atol": 2e-5, "rtol": 0}


@pytest.fixture(scope="module", params=["bart", "t5", "llama"])
def model(request, bpe_path):
    return language_model(request.param, bpe_path)


@pytest.fixture(params=[False, True], ids=["token", "sequence"])
def sequence(request):
    return request.param


def chosen(logprobs, target=TARGET):
    return logprobs.gather(-1, torch.tensor(target)[:, None])[:, 0]


def test_the_vocabulary_sums_to_one_at_every_step(model, sequence):
    found = stepped(reading(model, evidence(SCORES), sequence), TARGET)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(len(TARGET)), atol=1e-5, rtol=0)


def test_token_by_token_it_is_the_formula_over_passes_of_each_document(model, sequence):
    found = evidence(SCORES)
    prior = torch.tensor(SCORES).log_softmax(0)
    apart = alone(model, found, TARGET)
    mine = chosen(stepped(reading(model, found, sequence), TARGET))
    if sequence:
        torch.testing.assert_close(mine.sum(), sequence_logprob(prior, apart), **CLOSE)
    else:
        torch.testing.assert_close(mine, token_logprobs(prior, apart), **CLOSE)


def test_one_document_is_that_document_alone(model, sequence):
    found = evidence([0.7])
    mine = chosen(stepped(reading(model, found, sequence), TARGET))
    torch.testing.assert_close(mine, alone(model, found, TARGET)[0], **CLOSE)


def test_copies_of_one_document_are_as_one(model, sequence):
    many = stepped(reading(model, evidence(SCORES, [TEXTS[0]] * 4), sequence), TARGET)
    one = stepped(reading(model, evidence([0.3]), sequence), TARGET)
    torch.testing.assert_close(many, one, **CLOSE)


def test_a_prior_that_is_sure_reads_one_document(model, sequence):
    found = evidence((0.0, 0.0, 1.0, 0.0))
    sure = stepped(reading(model, found, sequence, temperature=1e-9), TARGET)
    one = stepped(reading(model, evidence([1.0], TEXTS[2:]), sequence), TARGET)
    torch.testing.assert_close(sure, one, **CLOSE)


def test_equal_scores_are_the_arithmetic_mean(model):
    found = evidence((0.5,) * 4)
    apart = alone(model, found, TARGET).exp()
    token = chosen(stepped(reading(model, found), TARGET)).exp()
    torch.testing.assert_close(token, apart.mean(0), **CLOSE)
    sequence = chosen(stepped(reading(model, found, True), TARGET)).sum().exp()
    torch.testing.assert_close(sequence, apart.prod(1).mean(), atol=1e-9, rtol=1e-4)


def test_neither_order_nor_a_shift_of_the_scores_matters(model, sequence):
    plain = stepped(reading(model, evidence(SCORES), sequence), TARGET)
    order = [2, 0, 3, 1]
    mixed = evidence([SCORES[i] for i in order], [TEXTS[i] for i in order])
    torch.testing.assert_close(stepped(reading(model, mixed, sequence), TARGET), plain, **CLOSE)
    shifted = evidence([score + 3 for score in SCORES])
    torch.testing.assert_close(stepped(reading(model, shifted, sequence), TARGET), plain, **CLOSE)


def test_for_one_token_both_are_the_same(model):
    both = [stepped(reading(model, evidence(SCORES), which), TARGET[:1]) for which in (False, True)]
    assert torch.equal(*both)
    later = [stepped(reading(model, evidence(SCORES), which), TARGET) for which in (False, True)]
    assert not torch.allclose(later[0][-1], later[1][-1], atol=1e-4)


def test_the_posterior_of_a_token_is_by_bayes(model):
    found = evidence(SCORES)
    apart = alone(model, found, TARGET)
    started = reading(model, found)
    for place, token in enumerate(TARGET):
        weights = (torch.tensor(SCORES).log_softmax(0) + apart[:, place]).softmax(0)
        assert started.step().shares(0, token) == pytest.approx(weights.tolist(), abs=1e-5)
        started.advance([0], [token])


def test_the_running_weights_of_a_sequence_are_its_posterior_so_far(model):
    found = evidence(SCORES)
    apart = alone(model, found, TARGET)
    started = reading(model, found, True)
    for place, token in enumerate(TARGET):
        so_far = torch.tensor(SCORES).log_softmax(0) + apart[:, :place].sum(1)
        step = started.step()
        assert step.detail(0, token)["prior"] == pytest.approx(so_far.softmax(0).tolist(), abs=1e-5)
        started.advance([0], [token])


def test_several_tokens_in_one_pass_are_as_one_by_one(model, sequence):
    one_by_one = reading(model, evidence(SCORES), sequence)
    stepped(one_by_one, TARGET)
    at_once = reading(model, evidence(SCORES), sequence)
    for token in TARGET[:2]:
        at_once.advance([0], [token])
    at_once.step()
    for token in TARGET[2:]:
        at_once.advance([0], [token])
    torch.testing.assert_close(at_once.step().joint, one_by_one.step().joint, **CLOSE)


def test_rows_that_fork_go_on_as_if_they_had_been_alone(model, sequence):
    forked = reading(model, evidence(SCORES), sequence)
    forked.step()
    forked.advance([0, 0, 0], [5, 9, 33])
    forked.step()
    forked.advance([2, 0, 2, 2], [7, 8, 9, 10])
    step = forked.step()
    for row, target in enumerate([[33, 7], [5, 8], [33, 9], [33, 10]]):
        single = reading(model, evidence(SCORES), sequence)
        stepped(single, target)
        torch.testing.assert_close(step.joint[row], single.step().joint[0], **CLOSE)


def test_rows_may_fork_before_anything_was_read(model, sequence):
    early = reading(model, evidence(SCORES), sequence)
    early.advance([0, 0], [5, 9])
    step = early.step()
    for row, token in enumerate([5, 9]):
        single = reading(model, evidence(SCORES), sequence)
        stepped(single, [token])
        torch.testing.assert_close(step.joint[row], single.step().joint[0], **CLOSE)


@pytest.mark.parametrize("found", [None, evidence([])])
def test_nothing_found_is_the_question_alone(model, sequence, found):
    mine = reader(model, sequence)
    given = torch.tensor([Form.of(model).read(QUESTION, None)])
    plain = model.network.generate(given, max_new_tokens=6, do_sample=False, num_beams=1)
    trace = generate(mine, None if found is None else Known(found), QUESTION, Decoding(6))
    start = given.shape[1] if model.kind == "causal" else 1
    assert [token.token for token in trace.tokens] == plain[0, start:].tolist()
    assert all(token.mass is None for token in trace.tokens)


@pytest.mark.parametrize("beams", [1, 3])
def test_one_document_is_generated_from_as_transformers_does(model, sequence, beams):
    found = evidence([0.7])
    given = torch.tensor([Form.of(model).read(QUESTION, found.hits[0])])
    plain = model.network.generate(
        given, max_new_tokens=8, do_sample=False, num_beams=beams, early_stopping=False
    )
    trace = generate(reader(model, sequence), Known(found), QUESTION, Decoding(8, beams=beams))
    start = given.shape[1] if model.kind == "causal" else 1
    assert [token.token for token in trace.tokens] == plain[0, start:].tolist()


def test_a_score_is_the_sum_of_the_formula_and_greedy_takes_the_likeliest(model, sequence):
    found = evidence(SCORES)
    trace = score(reader(model, sequence), Known(found), QUESTION, TARGET)
    prior, apart = torch.tensor(SCORES).log_softmax(0), alone(model, found, TARGET)
    formula = sequence_logprob(prior, apart) if sequence else token_logprobs(prior, apart).sum()
    assert trace.logprob == pytest.approx(float(formula), abs=1e-4)
    greedy = generate(reader(model, sequence), Known(found), QUESTION, Decoding(4))
    again = stepped(reading(model, found, sequence), [t.token for t in greedy.tokens])
    assert [t.token for t in greedy.tokens] == again.argmax(-1).tolist()


def test_a_prompt_is_looked_up_once_and_all_its_tokens_read_that(model, sequence):
    known = Known(evidence(SCORES))
    trace = generate(reader(model, sequence), known, QUESTION, Decoding(5, beams=2))
    assert known.asked == [[QUESTION]]
    assert len(trace.evidence) == 1
    for token in trace.tokens:
        assert token.read == 0
        assert sum(token.mass) == pytest.approx(1, abs=1e-5)
        assert sum(token.to_json()["prior"]) == pytest.approx(1, abs=1e-5)


def test_the_usual_temperature_follows_the_metric(bpe_path):
    mine = reader(language_model("llama", bpe_path))
    cosine, inner = (
        mine.log_prior(evidence((0.6, 0.5), metric=metric)).exp().tolist()
        for metric in ("cosine", "ip")
    )
    assert cosine[0] == pytest.approx(1 / (1 + math.exp(-2)))
    assert inner[0] == pytest.approx(1 / (1 + math.exp(-0.1)))
    told = reader(mine.model, temperature=0.1).log_prior(evidence((0.6, 0.5), metric="cosine"))
    assert float(told.exp()[0]) == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(bpe_path, temperature):
    with pytest.raises(UsageError, match="document temperature"):
        reader(language_model("llama", bpe_path), temperature=temperature)


@pytest.fixture(scope="module")
def llama(bpe_path):
    return language_model("llama", bpe_path)


@settings(max_examples=20)
@given(
    scores=st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=4),
    temperature=st.floats(1e-6, 1e3),
)
def test_whatever_the_scores_and_the_temperature_it_is_a_distribution(llama, scores, temperature):
    for sequence in (False, True):
        started = reading(llama, evidence(scores), sequence, temperature=temperature)
        found = stepped(started, TARGET[:3])
        assert found.exp().sum(-1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_a_long_prompt_leaves_what_the_network_can_hold(bpe_path):
    model = language_model("llama", bpe_path, max_position_embeddings=64)
    mine = reader(model)
    assert mine.form.budget == 32
    assert mine.longest == 32
    trace = generate(mine, Known(evidence(SCORES)), "who lit it", Decoding(1000))
    assert trace.prompt_tokens + len(trace.tokens) == 32
