"""A Hugging Face ``tokenizer.json`` as a source of words: token ids with exact character starts.

Two ways to the same ids. The general one asks the ``tokenizers`` library for offsets. For
BERT's WordPiece there is a much faster one: the text is cut by a regular expression into pieces
that WordPiece treats independently, and each piece's ids are looked up in a cache that the
library itself fills. Text that the expression cannot vouch for (accents, control characters,
scripts without spaces) is handed over word by word; text that spells out a special token is
handed over whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from retro_cli.chunks.splitter import Words
from retro_cli.errors import ConfigError

_WINDOW = 1 << 18  # characters tokenised at a time, so that memory does not follow the document
_CACHE_LIMIT = 400_000  # pieces; about 100 MB
_KEPT_WORD = 64  # characters; a longer word hardly comes again

_SPACE = " \t\n\r"
_ALNUM = "0-9A-Za-z"
# ASCII punctuation and the typographic marks that BERT isolates one by one.
_PUNCT = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~‘’“”–—…«»")
_SAFE = f"(?=[{_SPACE}{_ALNUM}{_PUNCT}]|\\Z)"
_PIECE = re.compile(f"[{_SPACE}]+|[{_ALNUM}]++{_SAFE}|[{_PUNCT}]{_SAFE}|[^{_SPACE}]+")


class ChunkTokenizer:
    """Turns a document into ``Words``. Not thread-safe; one per process."""

    def __init__(self, path: Path, *, cut: str = "word", size: int = 64) -> None:
        """``path`` is a tokenizer.json, or a folder that holds one. Raises ConfigError."""
        self.path = tokenizer_json(path)
        raw = self.path.read_bytes()
        self.sha256 = hashlib.sha256(raw).hexdigest()
        try:
            self._tokenizer = Tokenizer.from_str(raw.decode())
        except Exception as error:  # the library raises a bare Exception
            raise ConfigError(
                f"{self.path} is not a tokenizer.json ({error})",
                "name a folder or file saved by the tokenizers or transformers library",
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.vocabulary = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.dtype: type[np.unsignedinteger[Any]] = (
            np.uint16 if self.vocabulary <= 1 << 16 else np.uint32
        )
        self._cut_exactly = cut == "exact"
        self._size = size
        self._inner: dict[str, npt.NDArray[np.int64]] = {}
        self._words: Callable[[str, int], Words] = self._general
        if is_wordpiece(json.loads(raw)):
            self._words = _WordCache(self._tokenizer, self.dtype, self._general).words

    @property
    def raw(self) -> Tokenizer:
        """The Hugging Face tokenizer itself, without truncation and padding."""
        return self._tokenizer

    def windows(self, text: str) -> Iterator[Words]:
        """The document's words, a window of text at a time, with starts in the document."""
        for start, end in window_spans(text, _WINDOW):
            words = self._words(text[start:end], start)
            if len(words.counts) and (self._cut_exactly or words.counts.max() > self._size):
                words = self._single_tokens(text, words, end)
            yield words

    def _general(self, text: str, offset: int) -> Words:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids = np.array(encoding.ids, dtype=self.dtype)
        starts = np.array([span[0] for span in encoding.offsets], dtype=np.int64)
        members = np.array([-1 if w is None else w for w in encoding.word_ids], dtype=np.int64)
        begins = np.ones(len(ids), dtype=bool)
        if not self._cut_exactly:
            begins[1:] = (members[1:] != members[:-1]) | (members[1:] < 0)
            if len(ids) and (members == members[0]).all():  # SentencePiece knows no words
                begins[1:] |= _after_space(text, starts[1:])
        firsts = np.flatnonzero(begins)
        return Words(ids, np.diff(np.append(firsts, len(ids))), starts[firsts] + offset)

    def _single_tokens(self, text: str, words: Words, end: int) -> Words:
        """Break up the words that must be cut: all of them, or those longer than a chunk."""
        ends = np.append(words.starts[1:], end)
        starts: list[npt.NDArray[np.int64]] = []
        counts: list[npt.NDArray[np.int64]] = []
        for start, stop, count in zip(words.starts, ends, words.counts, strict=True):
            if count > 1 and (self._cut_exactly or count > self._size):
                starts.append(self._inner_starts(text[start:stop], int(count)) + start)
                counts.append(np.ones(count, dtype=np.int64))
            else:
                starts.append(np.array([start]))
                counts.append(np.array([count]))
        return Words(words.ids, np.concatenate(counts), np.concatenate(starts))

    def _inner_starts(self, word: str, count: int) -> npt.NDArray[np.int64]:
        """The character at which each of a word's ``count`` tokens begins, in the word."""
        known = self._inner.get(word)
        if known is None or len(known) != count:
            offsets = self._tokenizer.encode(word, add_special_tokens=False).offsets
            known = np.array([span[0] for span in offsets], dtype=np.int64)
            if len(known) != count:  # the word reads differently alone: spread its tokens evenly
                known = np.linspace(0, len(word), count, endpoint=False).astype(np.int64)
            if len(word) <= _KEPT_WORD:
                if len(self._inner) > _CACHE_LIMIT:
                    self._inner.clear()
                self._inner[word] = known
        return known


def _after_space(text: str, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether a token starts with white space or right after it, so that a word begins there."""
    return np.array([text[s : s + 1].isspace() or text[s - 1].isspace() for s in starts], bool)


class _WordCache:
    """WordPiece by look-up: ids of whole pieces, kept as the library gave them."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        dtype: type[np.unsignedinteger[Any]],
        whole: Callable[[str, int], Words],
    ) -> None:
        self._tokenizer = tokenizer
        self._dtype = dtype
        self._whole = whole
        self._cache: dict[str, tuple[int, ...]] = {}
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._special = re.compile("|".join(map(re.escape, added))) if added else None

    def words(self, text: str, offset: int) -> Words:
        if self._special is not None and self._special.search(text):
            return self._whole(text, offset)
        pieces = _PIECE.findall(text)
        found = list(map(self._cache.get, pieces))
        if None in found:
            self._learn(pieces)
            found = list(map(self._cache.__getitem__, pieces))
        n = len(pieces)
        counts = np.fromiter(map(len, found), np.int64, n)  # type: ignore[arg-type]
        lengths = np.fromiter(map(len, pieces), np.int64, n)
        ids = np.fromiter(chain.from_iterable(found), self._dtype, int(counts.sum()))  # type: ignore[arg-type]
        starts = np.cumsum(lengths) - lengths + offset
        real = counts > 0
        return Words(ids, counts[real], starts[real])

    def _learn(self, pieces: list[str]) -> None:
        # difference() looks each piece up; the minus operator would walk the whole cache.
        missing = sorted(set(pieces).difference(self._cache))
        if len(self._cache) + len(missing) > _CACHE_LIMIT:
            self._cache.clear()
            missing = sorted(set(pieces))
        encodings = self._tokenizer.encode_batch_fast(missing, add_special_tokens=False)
        for piece, encoding in zip(missing, encodings, strict=True):
            self._cache[piece] = tuple(encoding.ids)


def tokenizer_json(path: Path) -> Path:
    """The tokenizer.json at ``path`` or in that folder. Raises ConfigError."""
    candidate = path / "tokenizer.json" if path.is_dir() else path
    if not candidate.is_file():
        raise ConfigError(
            f"no tokenizer at {path}", "name a tokenizer.json or a folder that holds one"
        )
    return candidate


def is_wordpiece(config: dict[str, Any]) -> bool:
    """Whether a tokenizer.json is BERT's WordPiece, whose pieces are independent."""
    kinds = [(config.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer")]
    normalizer = config.get("normalizer") or {}
    return (
        kinds == ["BertNormalizer", "BertPreTokenizer"]
        and (config.get("model") or {}).get("type") == "WordPiece"
        and normalizer.get("clean_text") is True
    )


def window_spans(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Cut ``[0, len(text))`` after white space into spans of about ``size`` characters."""
    start = 0
    while len(text) - start > size:
        gap = max(text.rfind(space, start, start + size) for space in _SPACE)
        if gap <= start:  # no white space in a whole window: take it as it is
            gap = start + size - 1
        yield start, gap + 1
        start = gap + 1
    if start < len(text):
        yield start, len(text)
