"""The closed-book reader writes what the model writes; rows with a cache, what they would alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_helpers import Library, language_model, plain_logprobs

from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate, score
from retro_cli.readers.cached import CachedNetwork
from retro_cli.readers.closed_book import ClosedBookReader

PROMPT = "the keeper lit"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "qwen3"])
def test_it_writes_what_the_model_writes(bpe_path, kind):
    model = language_model(bpe_path, kind)
    reader = ClosedBookReader(model)
    ids = torch.tensor([reader.encode(PROMPT)])
    plain = model.network.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False
    )
    found = generate(reader, Library(), PROMPT, Decoding(20))
    assert [token.token for token in found.tokens] == plain[0, ids.shape[1] :].tolist()
    assert not found.evidence


def test_the_probabilities_of_the_steps_are_the_loss(bpe_path):
    model = language_model(bpe_path)
    reader = ClosedBookReader(model)
    prompt, target = reader.encode(PROMPT), reader.encode(" the lamp and the ferry")
    labels = torch.tensor([[-100] * len(prompt) + target])
    with torch.inference_mode():
        loss = model.network(torch.tensor([prompt + target]), labels=labels).loss
    found = score(reader, None, PROMPT, target)
    assert found.logprob == pytest.approx(-float(loss) * len(target), abs=1e-4)


def test_beams_find_what_transformers_finds(bpe_path):
    model = language_model(bpe_path)
    reader = ClosedBookReader(model)
    ids = torch.tensor([reader.encode(PROMPT)])
    plain = model.network.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, num_beams=4, do_sample=False
    )
    found = generate(reader, None, PROMPT, Decoding(12, beams=4))
    assert [token.token for token in found.tokens] == plain[0, ids.shape[1] :].tolist()


def test_a_prompt_that_fills_the_window_is_refused(bpe_path):
    reader = ClosedBookReader(language_model(bpe_path, window=8))
    with pytest.raises(UsageError, match="too long"):
        generate(reader, None, "the keeper lit the lamp of the ferry in the harbour", Decoding(4))


rows_of_tokens = st.lists(
    st.lists(st.integers(3, 299), min_size=1, max_size=9), min_size=1, max_size=3
)


@settings(max_examples=25)
@given(
    rows=rows_of_tokens,
    more=st.lists(st.lists(st.integers(3, 299), min_size=1, max_size=4), min_size=4, max_size=4),
    parents=st.lists(st.integers(0, 2), min_size=1, max_size=4),
    kind=st.sampled_from(["llama", "gpt2"]),
)
def test_rows_of_any_length_that_grow_and_fork_are_read_as_each_alone(
    bpe_path, rows, more, parents, kind
):
    model = language_model(bpe_path, kind)
    network = CachedNetwork(model.network)

    def check(rows):
        found = network.next_logprobs(rows)
        for row, logprobs in zip(rows, found, strict=True):
            torch.testing.assert_close(
                logprobs, plain_logprobs(model, row)[-1], atol=2e-4, rtol=1e-4
            )

    check(rows)
    parents = [parent % len(rows) for parent in parents]
    network.pick(parents)
    twin = network.copy()
    grown = [rows[parent] + tail for parent, tail in zip(parents, more, strict=False)]
    before = network.fed
    check(grown)
    assert network.fed - before == sum(map(len, more[: len(parents)]))  # nothing is read twice
    torch.testing.assert_close(
        twin.next_logprobs(grown), network_again(model, grown), atol=2e-4, rtol=1e-4
    )
    check([[5, *row] for row in grown])  # another beginning starts anew


def network_again(model, rows):
    return CachedNetwork(model.network).next_logprobs(rows)
