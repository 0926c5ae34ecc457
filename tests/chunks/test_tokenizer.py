"""Tokenising for chunks: the same ids as the library, exact character starts, any tokenizer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from retro_cli.chunks.splitter import split
from retro_cli.chunks.tokenizer import ChunkTokenizer, is_wordpiece, window_spans
from retro_cli.errors import ConfigError

ALPHABET = st.sampled_from(
    [
        *list("abz09 .,;'!?-_()[]\n\t"),
        "the",
        "ferry ",
        "harbours",
        "é",
        "É",
        "ß",
        "İ",
        "—",
        "’",
        "“",
        "…",
        "中",
        "文",
        "한",
        "́",
        "\u200b",
        "\x00",
        "\x1f",
        "\x7f",
        "\xa0",
        "\u2028",
        "�",
        "😀",
        "ﬁ",
        "[SEP]",
        "[CLS",
        "[MASK]",
        "##s",
        "\r\n",
        "x" * 101,
    ]
)
TEXTS = st.lists(ALPHABET, max_size=60).map("".join)


def ids_of(tokenizer: ChunkTokenizer, text: str) -> list[int]:
    return [int(i) for words in tokenizer.windows(text) for i in words.ids]


@settings(max_examples=400)
@given(text=TEXTS)
def test_word_cache_gives_the_librarys_ids(wordpiece_path, text):
    reference = Tokenizer.from_file(str(wordpiece_path))
    expected = reference.encode(text, add_special_tokens=False).ids
    assert ids_of(ChunkTokenizer(wordpiece_path), text) == expected


@settings(max_examples=150)
@given(text=TEXTS, cut=st.sampled_from(["word", "exact"]), size=st.integers(1, 9))
@pytest.mark.parametrize("kind", ["wordpiece_path", "bpe_path"])
def test_chunks_join_to_the_document_for_any_tokenizer(request, kind, text, cut, size):
    tokenizer = ChunkTokenizer(request.getfixturevalue(kind), cut=cut, size=size)
    cuts = list(split(tokenizer.windows(text), len(text), size))
    assert "".join(text[c.start : c.end] for c in cuts) == (text if cuts else "")
    assert [int(i) for c in cuts for i in c.ids] == ids_of(tokenizer, text)
    assert all(1 <= len(c.ids) <= size for c in cuts)
    if cut == "exact":
        assert all(len(c.ids) == size for c in cuts[:-1])


@settings(max_examples=100)
@given(text=st.text(st.sampled_from("abz .,'-"), max_size=80), size=st.integers(8, 20))
def test_a_whole_word_chunk_read_alone_has_the_stored_ids(wordpiece_path, text, size):
    reference = Tokenizer.from_file(str(wordpiece_path))
    tokenizer = ChunkTokenizer(wordpiece_path, size=size)
    for cut in split(tokenizer.windows(text), len(text), size):
        alone = reference.encode(text[cut.start : cut.end], add_special_tokens=False).ids
        words = text[cut.start : cut.end].split()
        if max(map(len, words), default=0) <= size:  # longer words are cut, and may read otherwise
            assert alone == cut.ids.tolist()


def test_a_word_longer_than_a_chunk_is_cut_at_token_starts(wordpiece_path):
    text = "the qqqqqqqqqqqq keeper"
    tokenizer = ChunkTokenizer(wordpiece_path, size=5)
    cuts = list(split(tokenizer.windows(text), len(text), 5))
    assert [text[c.start : c.end] for c in cuts] == ["the qqqq", "qqqqq", "qqq keeper"]


def test_windows_do_not_change_the_ids_of_a_long_text(wordpiece_path, monkeypatch):
    text = "the ferry, the harbours. caf\u00e9 storm " * 50
    whole = ids_of(ChunkTokenizer(wordpiece_path), text)
    monkeypatch.setattr("retro_cli.chunks.tokenizer._WINDOW", 37)
    assert ids_of(ChunkTokenizer(wordpiece_path), text) == whole


def test_a_full_cache_starts_over_and_gives_the_same_ids(wordpiece_path, monkeypatch):
    tokenizer = ChunkTokenizer(wordpiece_path)
    text = "the ferry left; the keeper stayed on the island"
    whole = ids_of(tokenizer, text)
    monkeypatch.setattr("retro_cli.chunks.tokenizer._CACHE_LIMIT", 3)
    fresh = ChunkTokenizer(wordpiece_path)
    assert (
        ids_of(fresh, "storm boat") + ids_of(fresh, text) == ids_of(tokenizer, "storm boat") + whole
    )


@given(st.text(st.sampled_from("ab \n"), max_size=200), st.integers(1, 30))
def test_window_spans_cover_the_text_and_respect_the_size(text, size):
    spans = list(window_spans(text, size))
    assert "".join(text[a:b] for a, b in spans) == text
    assert all(0 < b - a <= size for a, b in spans)


def test_ids_take_two_bytes_only_while_the_vocabulary_fits(wordpiece_path):
    assert ChunkTokenizer(wordpiece_path).dtype is np.uint16


def test_only_berts_wordpiece_takes_the_fast_way(wordpiece_path, bpe_path):
    assert is_wordpiece(json.loads(wordpiece_path.read_text()))
    assert not is_wordpiece(json.loads(bpe_path.read_text()))


def test_a_broken_tokenizer_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="no tokenizer at"):
        ChunkTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ConfigError, match=r"is not a tokenizer\.json"):
        ChunkTokenizer(tmp_path)


def _sentencepiece(folder):
    """A tokenizer in Llama's manner: no pre-tokenizer, spaces are part of the tokens."""
    from tokenizers import decoders, models, normalizers

    letters = [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz.\u2581"]
    words = [(f"\u2581{word}", -2.0) for word in ("the", "ferry", "left", "keeper")]
    tokenizer = Tokenizer(models.Unigram([("<unk>", -10.0), *letters, *words], 0, False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Metaspace()
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_words_stay_whole_with_a_tokenizer_that_knows_none(tmp_path):
    text = "the ferry left harbours. the keeper waved\nand the ferry left " * 6
    tokenizer = ChunkTokenizer(_sentencepiece(tmp_path), cut="word", size=12)
    cuts = list(split(tokenizer.windows(text), len(text), 12))
    assert len(cuts) > 5
    for cut in cuts[1:]:
        assert text[cut.start].isspace() or text[cut.start - 1].isspace()


def test_a_tokenizer_of_long_words_remembers_no_whole_documents(tmp_path):
    tokenizer = ChunkTokenizer(_sentencepiece(tmp_path), cut="word", size=8)
    for number in range(50):
        text = "x" * (100 + number)
        list(split(tokenizer.windows(text), len(text), 8))
    assert not tokenizer._inner
