"""Copies of what a rule takes: they answer in their own name, or go with it on request."""

from __future__ import annotations

import numpy as np
import pytest
from upkeep_library import Library, posts

from retro_cli.upkeep.filtering import undo_rule
from retro_cli.upkeep.reach import passages


@pytest.mark.parametrize("gone", ["a", "b"])
def test_a_copy_in_another_source_answers_in_its_own_name_with_its_own_continuation(twins, gone):
    kept, words = {"a": ("b", "light"), "b": ("a", "ferry")}[gone]
    (both,) = twins.hits("the boat the storm", k=1)
    assert [source for _, source in both.also] == ["b"]
    twins.add(sources=(gone,))
    (hit,) = twins.hits("the boat the storm", k=1)
    assert (hit.source, hit.also) == (kept, ())
    assert words in hit.continuation
    assert {h.source for h in twins.hits()} == {kept, "c"}


def test_a_whole_document_said_twice_answers_for_the_source_that_is_left(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    for source in "abc":
        library.write(source, posts(source, "the boat and the storm"))
    library.update()
    library.add(sources=("a",))
    (hit,) = library.hits()
    assert (hit.source, hit.also) == ("b", (("c0", "c"),))
    library.add(sources=("c",))
    (hit,) = library.hits()
    assert (hit.source, hit.also) == ("b", ())
    undo_rule(library.layout, 1)
    (hit,) = library.hits()
    assert (hit.source, hit.also) == ("a", (("b0", "b"),))


@pytest.mark.parametrize("how", ["exact", "near"])
def test_copies_are_taken_with_what_they_copy(twins, how):
    twins.add(sources=("a",), copies=how)
    assert twins.documents() == {"b0", "c0"}
    words = twins.words()
    assert "boat" not in words
    assert "light" in words
    assert "ferry" not in words


def test_a_later_copy_of_what_a_rule_takes_stays_out(twins):
    twins.add(sources=("a",), copies="exact")
    twins.write("d", posts("d", "the boat the storm the keeper the keeper"))
    twins.update()
    assert twins.documents() == {"b0", "c0", "d0"}
    assert "boat" not in twins.words()
    assert "keeper" in twins.words()


def test_a_copy_stays_out_when_its_original_leaves_the_corpus(twins):
    twins.add(sources=("a",), copies="exact")
    (twins.inputs / "a.jsonl").unlink()
    twins.update()
    assert twins.documents() == {"b0", "c0"}
    assert "boat" not in twins.words()


def test_both_twins_filtered_by_two_rules_come_back_one_by_one(twins):
    twins.add(sources=("a",))
    twins.add(sources=("b",))
    assert twins.documents() == {"c0"}
    undo_rule(twins.layout, 1)
    (hit,) = twins.hits("the boat the storm", k=1)
    assert (hit.source, hit.also) == ("a", ())
    undo_rule(twins.layout, 2)
    assert [source for _, source in twins.hits("the boat the storm", k=1)[0].also] == ["b"]


def sentences(seed, count):
    words = np.random.default_rng(seed).choice([*"abcdefghijklmnopqrstuvwxyz"], count)
    return " ".join(words)


@pytest.mark.parametrize(
    ("tokens", "new"),
    [(16, [0, 6]),  # three new tokens are a quarter of the first chunk's runs of five
     (64, [6])],  # and a twentieth here; the last chunk is a scrap that has no such run
)  # fmt: skip
def test_near_copies_are_taken_though_their_chunks_begin_elsewhere(
    tmp_path, static_encoder, tokens, new
):
    library = Library(tmp_path, static_encoder, tokens=tokens)
    text = sentences(1, 6 * tokens)
    library.write("a", posts("a", text))
    library.write("b", posts("b", "x y z " + text))
    library.write("c", posts("c", sentences(2, 6 * tokens)))
    library.update()
    copy = sorted(hit.chunk for hit in library.hits(source=["b"]))
    assert len(copy) == 7
    _, exact, _ = library.add(sources=("a",), copies="exact")
    assert exact.chunks == 6
    undo_rule(library.layout, 1)
    library.add(sources=("a",), copies="near")
    left = sorted(hit.chunk for hit in library.hits(source=["b"]))
    assert left == [copy[place] for place in new]
    assert {hit.source for hit in library.hits()} == {"b", "c"}
    assert len(library.hits(source=["c"])) == 6


def test_near_copies_of_a_chunk_outlive_an_edit_that_moves_its_borders(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder, tokens=64)
    text = sentences(1, 320)
    library.write("a", posts("a", text))
    library.write("c", posts("c", sentences(2, 320)))
    library.update()
    whole = text.replace(" ", "")[128:192]
    library.add(passages=passages(library.layout, [2]), copies="near")
    assert whole not in library.words().replace(" ", "")
    assert len(library.hits(source=["a"])) == 4
    library.write("a", posts("a", "x y z " + text))
    library.update()
    shown = [hit.text.replace(" ", "") for hit in library.hits(source=["a"])]
    assert len(shown) == 5  # of six: the edit moved three of the passage's letters out of it
    assert not any(whole[:4] in passage for passage in shown)
    assert any(passage.startswith(whole[-3:]) for passage in shown)
