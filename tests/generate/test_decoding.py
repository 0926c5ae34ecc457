"""The choice of a token: as transformers' own warpers have it, and bound to a seed."""

from __future__ import annotations

import pytest
import torch
from generate_helpers import Fixed, reader, speaking, table
from hypothesis import given
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding, chooser, drawn_from
from retro_cli.generate.loop import generate


def logprobs(seed, words=40):
    noise = torch.randn(words, generator=torch.Generator().manual_seed(seed))
    return (2 * noise).log_softmax(-1)


@given(
    seed=st.integers(0, 1000),
    temperature=st.floats(0.1, 3),
    top_k=st.none() | st.integers(1, 60),
    top_p=st.none() | st.floats(0.01, 1),
)
def test_what_is_drawn_from_is_what_transformers_draws_from(seed, temperature, top_k, top_p):
    given_to = logprobs(seed)
    found = drawn_from(given_to, Decoding(temperature=temperature, top_k=top_k, top_p=top_p))
    scores = TemperatureLogitsWarper(temperature)(None, given_to[None])
    if top_k is not None:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p is not None and top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    torch.testing.assert_close(found, scores[0].softmax(-1), atol=1e-6, rtol=1e-4)


def test_a_low_temperature_is_greedy_and_one_likeliest_token_too():
    for chosen in ({"temperature": 1e-3}, {"temperature": 5.0, "top_k": 1}):
        choose = chooser(Decoding(**chosen))
        assert all(choose(logprobs(n)) == int(logprobs(n).argmax()) for n in range(20))


def test_draws_follow_the_chances():
    choose, chances = chooser(Decoding(temperature=1.0)), logprobs(1, 5).exp()
    counts = torch.zeros(5)
    for _ in range(4000):
        counts[choose(logprobs(1, 5))] += 1
    torch.testing.assert_close(counts / 4000, chances, atol=0.03, rtol=0)


def test_a_seed_gives_the_same_text_watched_or_not_and_whatever_else_draws(bpe_path):
    mine = reader(speaking(), bpe_path)

    def drawn(seed, watch=None):
        settings = Decoding(16, temperature=1.0, top_p=0.95, seed=seed)
        trace = generate(mine, Fixed(table(20)), "the ferry", settings, watch)
        return [token.token for token in trace.tokens]

    assert drawn(1) == drawn(1, lambda token: torch.rand(3)) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")},
        {"temperature": 1.0, "top_k": 0}, {"temperature": 1.0, "top_p": 0.0},
        {"temperature": 1.0, "top_p": 1.5}, {"beams": 0}, {"beams": 2, "temperature": 1.0},
        {"top_k": 5}, {"top_p": 0.5},
    ],
)  # fmt: skip
def test_settings_that_choose_nothing_are_refused(wrong):
    with pytest.raises(UsageError):
        Decoding(**wrong)
