"""Text -> token ids for an encoder, and the special tokens it wants around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from retro_cli.errors import ConfigError

Ids = npt.NDArray[np.int64]


class TextTokenizer:
    """A ``tokenizer.json`` with its own truncation and padding switched off.

    prefix, suffix: ids of the special tokens before and after a text
    """

    def __init__(self, path: Path, max_tokens: int | None = None) -> None:
        """Raises ConfigError if ``path`` is not a tokenizer.json."""
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises a bare Exception
            raise ConfigError(
                f"{path} is not a tokenizer.json ({error})", "save the model's tokenizer again"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.prefix, self.suffix = special_frame(self._tokenizer)
        self.room = None if max_tokens is None else max_tokens - len(self.prefix + self.suffix)
        if self.room is not None:
            self._tokenizer.enable_truncation(max(1, self.room))

    def ids(self, texts: Sequence[str], prompt: str = "") -> list[Ids]:
        """One array of ids a text, without special tokens, cut to the room there is."""
        whole = [prompt + text for text in texts]
        encodings = self._tokenizer.encode_batch_fast(whole, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]


def special_frame(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens a tokenizer puts before and after a text, as ids."""
    example = tokenizer.encode("a", add_special_tokens=True)
    size = sum(example.attention_mask)  # the rest is padding
    ids, special = example.ids[:size], example.special_tokens_mask[:size]
    if all(special):
        return tuple(ids), ()
    before, after = special.index(0), special[::-1].index(0)
    return tuple(ids[:before]), tuple(ids[size - after :])
