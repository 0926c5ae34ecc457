"""The spans of a text as a tree of tokens."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from retro_cli.asking.spans import span_tree


@pytest.fixture(scope="module")
def bpe(bpe_path):
    return Tokenizer.from_file(str(bpe_path))


def spelled(tree, tokenizer, so_far=()):
    """Every text that the tree allows."""
    found = {tokenizer.decode(list(so_far))} if tree.ends else set()
    for token, node in tree.following.items():
        found |= spelled(node, tokenizer, (*so_far, token))
    return found


def test_the_tree_spells_every_run_of_words_without_the_marks_around_it(bpe):
    tree = span_tree('("The £9.80" fare), a', bpe, longest=2)
    assert spelled(tree, bpe) == {" The", ' The "£9.80'.replace('"', ""), " £9.80", ' £9.80" fare',
                                  " fare", " fare), a", " a"}  # fmt: skip


def test_marks_that_belong_to_a_word_stay_with_it(bpe):
    found = spelled(span_tree("It rose 5% in (the MPI) index.", bpe, longest=1), bpe)
    assert " 5%" in found
    assert " MPI" in found
    assert " index" in found


@given(st.text(max_size=60), st.integers(1, 4))
@example("Rose - 5\r\x08 0", 2)
def test_every_span_stands_in_the_text_and_has_so_many_words(bpe_path, text, longest):
    tokenizer = Tokenizer.from_file(str(bpe_path))
    for span in spelled(span_tree(text, tokenizer, longest), tokenizer):
        assert span.startswith(" ")
        assert span[1:] in text
        # A dash or a control character that stands alone is no word.
        words = [piece for piece in span.split() if any(map(str.isalnum, piece))]
        assert 1 <= len(words) <= longest


def test_a_text_without_words_has_no_spans(bpe):
    for text in ("", " ... ", "—"):
        tree = span_tree(text, bpe)
        assert not tree.following
        assert not tree.ends


def test_a_span_is_spelled_as_it_goes_on_after_the_prompt():
    """Such tokenizers put a space before a text of its own, and so would spell two."""
    words = {"▁Answer:": 0, "▁the": 1, "▁ferry": 2, "▁": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="▁"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tree = span_tree("the ferry", tokenizer)
    assert set(tree.following) == {1, 2}
    assert tree.following[1].ends
    assert tree.following[1].following[2].ends
