"""The decoding loop with a RETRO model: what it chooses, what it looks up, what it notes."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from generate_helpers import ByText, Fixed, Renewed, reader, speaking, table

from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate, score

PROMPT = "the ferry left"
M = 4


@pytest.fixture(scope="module")
def model():
    return speaking(M)


def ids(trace):
    return [token.token for token in trace.tokens]


def transformers_own(model, prompt, neighbours, **how):
    """generate of the transformers library, with a table of neighbours that is known beforehand."""
    given = torch.tensor([prompt])
    found = model.generate(
        given, attention_mask=torch.ones_like(given), neighbour_ids=neighbours[None],
        chunk_offset=(-len(prompt)) % M, do_sample=False, pad_token_id=0, **how,
    )  # fmt: skip
    return found[0, len(prompt) :].tolist()


@pytest.mark.parametrize("prompt", ["t", "the", PROMPT, PROMPT * 3])
def test_greedy_is_what_transformers_generates_with_the_same_neighbours(model, bpe_path, prompt):
    mine, found = reader(model, bpe_path), table(20)
    trace = generate(mine, Fixed(found), prompt, Decoding(21))
    assert ids(trace) == transformers_own(model, mine.encode(prompt), found, max_new_tokens=21)
    assert trace.stopped == "length"
    assert ids(trace) != ids(generate(mine, Fixed(table(20, seed=1)), prompt, Decoding(21)))


@pytest.mark.parametrize("end", [None, 7, [7, 11, 90]])
@pytest.mark.parametrize("beams", [2, 3, 5])
@pytest.mark.parametrize("most", [1, 2, 17])
def test_beams_are_those_of_transformers(bpe_path, end, beams, most):
    model = speaking(M, end=end, seed=3)
    mine, found = reader(model, bpe_path), table(20, seed=beams)
    trace = generate(mine, Fixed(found), PROMPT, Decoding(most, beams=beams))
    expected = transformers_own(
        model, mine.encode(PROMPT), found, max_new_tokens=most, num_beams=beams
    )
    assert ids(trace) == expected
    assert trace.stopped == ("end" if expected[-1] in mine.ends else "length")


def test_beams_with_neighbours_of_their_own_have_the_probability_of_the_whole(model, bpe_path):
    mine, own = reader(model, bpe_path), ByText()
    trace = generate(mine, own, PROMPT, Decoding(14, beams=3))
    assert any(len(set(asked)) > 1 for asked in own.asked[1:])
    forced = score(mine, ByText(), PROMPT, ids(trace))
    for token, again in zip(trace.tokens, forced.tokens, strict=True):
        assert token.logprob == pytest.approx(again.logprob, abs=1e-4)
        assert token.evidence.query == again.evidence.query
    assert [found.query for found in trace.evidence] == [found.query for found in forced.evidence]


def told_anew(mine, given, retriever):
    """The log-probabilities of what follows some tokens, if all is looked up now."""
    reading = mine.start(given)
    reading.receive(retriever.search(reading.queries(), mine.k))
    return reading.step().logprobs[0]


@pytest.mark.parametrize("step", [2, 4, 7, 10])
@pytest.mark.parametrize("stride", [1, 3, 4])
def test_what_may_not_be_shown_any_more_conditions_no_token_from_then_on(
    model, bpe_path, step, stride
):
    mine = reader(model, bpe_path, stride=stride)
    before = generate(mine, ByText(), PROMPT, Decoding(12))
    changed = Renewed(step, lambda _: False)
    trace = generate(mine, changed, PROMPT, Decoding(12))
    known = step - 1  # tokens that were there when the rule came
    assert ids(trace)[:known] == ids(before)[:known]
    so_far = [*mine.encode(PROMPT), *ids(trace)[:known]]
    expected = told_anew(mine, so_far, changed)
    assert ids(trace)[known] == int(expected.argmax())
    assert trace.tokens[known].logprob == pytest.approx(float(expected.max()), abs=1e-4)
    reads = [token.read for token in trace.tokens]
    assert reads == sorted(reads)
    assert all(trace.evidence[token.read] is token.evidence for token in trace.tokens)


def test_a_new_generation_that_shows_all_that_was_read_changes_nothing_before_the_next_look_up(
    model, bpe_path
):
    mine = reader(model, bpe_path)
    before = generate(mine, ByText(), PROMPT, Decoding(4))
    assert ids(generate(mine, Renewed(3, lambda _: True), PROMPT, Decoding(4))) == ids(before)


@pytest.mark.parametrize("step", [3, 6])
def test_beams_too_go_on_without_what_was_taken_away(model, bpe_path, step):
    mine, changed = reader(model, bpe_path), Renewed(step, lambda _: False)
    trace = generate(mine, changed, PROMPT, Decoding(9, beams=3))
    for known in range(step - 1, 9):
        token = trace.tokens[known]
        if token.read == trace.tokens[step - 1].read:
            so_far = [*mine.encode(PROMPT), *ids(trace)[: step - 1]]
            reading = mine.start(so_far)
            reading.receive(changed.search(reading.queries(), mine.k))
            for given in ids(trace)[step - 1 : known]:
                reading.step()
                reading.advance([0], [given])
            logprob = float(reading.step().logprobs[0, token.token])
            assert token.logprob == pytest.approx(logprob, abs=1e-4)


def test_a_beam_search_finds_nothing_worse_than_greedy_does(model, bpe_path):
    mine = reader(model, bpe_path)
    greedy, wide = (
        generate(mine, Fixed(table(20)), PROMPT, Decoding(12, beams=beams)) for beams in (1, 8)
    )
    assert wide.logprob >= greedy.logprob - 1e-4


@pytest.mark.parametrize("prompt", ["t", "the", PROMPT * 3])
def test_the_cached_steps_are_one_pass_over_everything(model, bpe_path, prompt):
    mine, found = reader(model, bpe_path), table(20)
    trace = generate(mine, Fixed(found), prompt, Decoding(15))
    start = mine.encode(prompt)
    whole = torch.tensor([[*start, *ids(trace)]])
    with torch.no_grad():
        logits = model(
            whole, neighbour_ids=found[None], chunk_offset=(-len(start)) % M, use_cache=False
        ).logits
    expected = logits[0, len(start) - 1 : -1].log_softmax(-1)
    for token, row in zip(trace.tokens, expected, strict=True):
        assert token.logprob == pytest.approx(float(row[token.token]), abs=1e-4)
        assert token.token == int(row.argmax())


def test_a_long_prompt_in_several_passes_is_the_prompt_in_one(model, bpe_path, monkeypatch):
    mine = reader(model, bpe_path)
    whole = generate(mine, Fixed(table(40)), PROMPT * 5, Decoding(9))
    monkeypatch.setattr("retro_cli.readers.retro._AT_ONCE", 7)
    assert ids(generate(mine, Fixed(table(40)), PROMPT * 5, Decoding(9))) == ids(whole)


def test_without_retrieval_it_is_the_backbone(model, bpe_path):
    mine = reader(model, bpe_path)
    start = torch.tensor([mine.encode(PROMPT)])
    plain = model.backbone.generate(
        start, attention_mask=torch.ones_like(start), max_new_tokens=12, do_sample=False
    )
    trace = generate(mine, None, PROMPT, Decoding(12))
    assert ids(trace) == plain[0, start.shape[1] :].tolist()
    assert all(token.evidence is None and token.read is None for token in trace.tokens)
    assert trace.evidence == ()


def test_a_freshly_fitted_model_says_what_its_base_says(bpe_path):
    mine = reader(speaking(M, shake=False), bpe_path)
    with_neighbours = generate(mine, Fixed(table(20)), PROMPT, Decoding(12))
    assert ids(with_neighbours) == ids(generate(mine, None, PROMPT, Decoding(12)))


def test_a_short_prompt_is_looked_up_whole_and_read_at_once(model, bpe_path):
    own = ByText()
    trace = generate(reader(model, bpe_path), own, "the", Decoding(1))
    assert own.asked == [["the"]]
    assert trace.tokens[0].read == 0
    assert trace.tokens[0].evidence.query == "the"


def test_all_chunks_of_a_prompt_are_looked_up_at_once_the_first_may_be_short(model, bpe_path):
    mine, own = reader(model, bpe_path), ByText()
    start = mine.encode(PROMPT * 2)
    short = len(start) % M
    assert short
    trace = generate(mine, own, PROMPT * 2, Decoding(1))
    borders = [0, *range(short, len(start) + 1, M)]
    expected = [mine.decode(start[a:b]) for a, b in pairwise(borders)]
    assert own.asked == [expected]
    assert trace.tokens[0].read == len(expected) - 1


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_after_every_stride_the_last_chunk_of_tokens_is_looked_up(model, bpe_path, stride):
    mine, own = reader(model, bpe_path, stride=stride), ByText()
    trace = generate(mine, own, PROMPT, Decoding(13))
    tokens = [*mine.encode(PROMPT), *ids(trace)]
    ends = range(trace.prompt_tokens + stride, len(tokens), stride)
    expected = [[mine.decode(tokens[end - M : end]).strip("�")] for end in ends]
    assert own.asked[1:] == expected
    first = len(own.asked[0]) - 1
    assert [token.read for token in trace.tokens] == [first + n // stride for n in range(13)]


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_shorter_stride_reads_as_a_grid_that_ends_with_the_last_token(model, bpe_path, stride):
    mine, found = reader(model, bpe_path, stride=stride), table(30)
    trace = generate(mine, Fixed(found), PROMPT, Decoding(2 * stride))
    start = mine.encode(PROMPT)
    tokens = torch.tensor([[*start, *ids(trace)]])
    chunks = -(-len(start) // M)
    cache = None
    with torch.no_grad():
        cache = model(
            tokens[:, : len(start)], neighbour_ids=found[None, :chunks],
            chunk_offset=(-len(start)) % M, use_cache=True,
        ).past_key_values  # fmt: skip
        for place in range(len(start), len(start) + 2 * stride - 1):
            looks = (place + 1 - len(start)) // stride
            output = model(
                tokens[:, place : place + 1], past_key_values=cache, use_cache=True,
                neighbour_ids=found[None, : chunks + looks],
                chunk_offset=M * (chunks + looks) - len(start) - looks * stride,
            )  # fmt: skip
            assert int(output.logits[0, -1].argmax()) == int(tokens[0, place + 1])


@pytest.mark.parametrize("stride", [0, 5, -1])
def test_a_stride_outside_the_chunk_is_refused(model, bpe_path, stride):
    with pytest.raises(UsageError, match="retrieval step"):
        reader(model, bpe_path, stride=stride)


def test_recording_changes_nothing_and_each_mass_sums_to_one(model, bpe_path):
    off, on = (
        generate(reader(model, bpe_path, record=record), Fixed(table(20)), PROMPT, Decoding(13))
        for record in (False, True)
    )
    assert ids(on) == ids(off)
    for token, same in zip(on.tokens, off.tokens, strict=True):
        assert token.logprob == pytest.approx(same.logprob, abs=1e-5)
        assert sum(token.mass) == pytest.approx(1, abs=1e-5)
        assert len(token.mass) == len(token.evidence.hits) == 2
        assert same.mass is None


def test_fewer_neighbours_than_asked_for_are_enough(model, bpe_path):
    mine = reader(model, bpe_path, k=5, record=True)
    few = generate(mine, Fixed(table(20, k=2)), PROMPT, Decoding(9))
    two = generate(reader(model, bpe_path, k=2), Fixed(table(20, k=2)), PROMPT, Decoding(9))
    assert ids(few) == ids(two)
    assert all(sum(token.mass) == pytest.approx(1, abs=1e-5) for token in few.tokens)


def test_nothing_found_is_as_no_retrieval(model, bpe_path):
    mine = reader(model, bpe_path, record=True)
    trace = generate(mine, Fixed(table(20, k=0)), PROMPT, Decoding(9))
    assert ids(trace) == ids(generate(mine, None, PROMPT, Decoding(9)))
    assert all(not token.mass for token in trace.tokens)


def test_a_score_is_the_sum_of_the_choices_and_forces_ends_too(bpe_path):
    model = speaking(M, end=7)
    mine = reader(model, bpe_path)
    target = [9, 7, 12, 30, 41, 8]
    trace = score(mine, Fixed(table(20)), PROMPT, target)
    assert ids(trace) == target
    start = mine.encode(PROMPT)
    with torch.no_grad():
        logits = model(
            torch.tensor([[*start, *target]]), neighbour_ids=table(20)[None],
            chunk_offset=(-len(start)) % M,
        ).logits[0, len(start) - 1 : -1].log_softmax(-1)  # fmt: skip
    expected = sum(float(row[token]) for row, token in zip(logits, target, strict=True))
    assert trace.logprob == pytest.approx(expected, abs=1e-3)


def test_a_text_ends_where_its_model_ends_it(bpe_path):
    free = generate(reader(speaking(M), bpe_path), Fixed(table(20)), PROMPT, Decoding(15))
    end = ids(free)[6]
    again = reader(speaking(M, end=end), bpe_path)
    trace = generate(again, Fixed(table(20)), PROMPT, Decoding(15))
    assert ids(trace) == ids(free)[: ids(free).index(end) + 1]
    assert trace.stopped == "end"


def test_every_token_is_told_as_it_comes(model, bpe_path):
    seen = []
    trace = generate(reader(model, bpe_path), Fixed(table(20)), PROMPT, Decoding(9), seen.append)
    assert tuple(seen) == trace.tokens
    assert [token.position for token in seen] == list(
        range(trace.prompt_tokens, trace.prompt_tokens + 9)
    )


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_refused(model, bpe_path, prompt):
    with pytest.raises(UsageError, match="empty"):
        generate(reader(model, bpe_path), None, prompt, Decoding(3))


def test_a_prompt_that_fills_the_model_is_refused_and_a_long_one_leaves_what_is_left(
    model, bpe_path
):
    mine = reader(model, bpe_path)
    start = len(mine.encode(PROMPT))
    mine.longest = start + 3
    assert len(generate(mine, None, PROMPT, Decoding(10)).tokens) == 3
    mine.longest = start
    with pytest.raises(UsageError, match="too long"):
        generate(mine, None, PROMPT, Decoding(10))


def test_the_time_of_retrieval_is_part_of_the_whole(model, bpe_path):
    timing = generate(reader(model, bpe_path), Fixed(table(20)), PROMPT, Decoding(9)).timing
    assert 0 < timing.retrieval < timing.total
