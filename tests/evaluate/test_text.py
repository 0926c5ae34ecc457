"""The evaluated text: its bytes, its first tokens, and parts of it."""

from __future__ import annotations

from evaluate_helpers import BYTES, random_text


def test_a_documents_first_token_and_its_bytes_do_not_count():
    text = random_text([9, 3])
    assert text.scored_bytes.tolist() == [3 * BYTES, 4 * BYTES, 1 * BYTES, 2 * BYTES]


def test_some_documents_are_numbered_anew_and_keep_what_is_theirs():
    text = random_text([9, 3, 5])
    some = text.only([0, 2])
    assert some.names == ("document 0", "document 2")
    assert some.document.tolist() == [0, 0, 0, 1, 1]
    assert some.document_lengths.tolist() == [9, 5]
    assert some.tokens[3:].tolist() == text.tokens[4:].tolist()
    assert some.neighbours[3:].tolist() == text.neighbours[4:].tolist()


def test_clipping_keeps_whole_chunks_and_at_least_one():
    text = random_text([9, 3, 40])
    assert text.clipped(8).document_lengths.tolist() == [8, 3, 8]
    assert text.clipped(11).document_lengths.tolist() == [8, 3, 8]
    assert text.clipped(1).document_lengths.tolist() == [4, 3, 4]
    assert text.clipped(100).document_lengths.tolist() == [9, 3, 40]


def test_a_document_without_tokens_is_in_nobodys_way():
    text = random_text([9, 0, 40])
    assert text.clipped(8).document_lengths.tolist() == [8, 0, 8]
    assert text.long_enough() == [0, 2]
    assert text.only([0, 2]).document_lengths.tolist() == [9, 40]


def test_a_document_of_one_token_has_nothing_to_score():
    assert random_text([9, 1, 2]).long_enough() == [0, 2]
