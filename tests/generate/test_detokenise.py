"""Text as it comes: whole characters only, and together the text of all tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from retro_cli.generate.detokenise import Detokeniser


@pytest.fixture(scope="module")
def bpe(bpe_path):
    return Tokenizer.from_file(str(bpe_path))


def spoken(tokenizer, ids, before=()):
    speech = Detokeniser(lambda tokens: tokenizer.decode(list(tokens)), before)
    return [speech.add(token) for token in ids]


TEXTS = [
    "héllo wörld",
    "日本語のテキスト",
    "🙂👩‍👩‍👧 the ferry",
    "a\nb\tc  d",
    "the ferry left " * 20,
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_together_are_the_text_and_no_piece_has_half_a_character(bpe, text):
    pieces = spoken(bpe, bpe.encode(text).ids)
    assert "".join(pieces) == text
    assert not any("�" in piece for piece in pieces)


@given(
    text=st.text(st.characters(codec="utf-8", exclude_characters="�"), max_size=60),
    cut=st.integers(0, 40),
)
def test_a_text_goes_on_where_the_prompt_stops_even_inside_a_character(bpe_path, text, cut):
    tokenizer = Tokenizer.from_file(str(bpe_path))
    ids = tokenizer.encode(text).ids
    shown = tokenizer.decode(ids[:cut]).rstrip("�")
    assert shown + "".join(spoken(tokenizer, ids[cut:], ids[:cut])) == text


def test_bytes_that_are_no_text_are_shown_once_more_follows_and_never_at_the_end(bpe):
    lone = bpe.token_to_id("ĥ")  # the byte 0x83, which begins no character
    letter = bpe.token_to_id("a")
    assert "".join(spoken(bpe, [letter, lone, letter])) == "a�a"
    first = bpe.encode("é").ids[0]
    assert "".join(spoken(bpe, [letter, first])) == "a"
    assert len("".join(spoken(bpe, [lone] * 50))) >= 40  # held no longer than a character can be


def test_spaces_that_a_decoder_strips_from_a_beginning_stay_inside_a_text():
    words = {"▁the": 0, "▁ferry": 1, "s": 2, "<0xE2>": 3, "<0x82>": 4, "<0xAC>": 5, "▁": 6}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="s"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )  # fmt: skip
    assert spoken(tokenizer, [1, 2], before=[0]) == [" ferry", "s"]
    assert spoken(tokenizer, [0, 1, 3, 4, 5, 1]) == ["the", " ferry", "", "", "€", " ferry"]
