"""The language model whose states are the keys, and what tells it from another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.config import fingerprint
from retro_cli.datastore.manifest import KeyMaker
from retro_cli.datastore.plan import windows
from retro_cli.embeddings.hashes import model_sha256
from retro_cli.errors import EncoderMismatch, RetroError, UsageError
from retro_cli.models.base import TOKENIZER, goes_by_name, portable_name
from retro_cli.models.families import last_feed_forward
from retro_cli.models.language import LanguageModel
from retro_cli.models.nearest import states
from retro_cli.wording import counted

Floats = npt.NDArray[np.float32]
WINDOW = 1024
AT_ONCE = 4096  # tokens in one pass
_LARGEST = 65504.0  # in half precision

# Raised by one whenever the same model and text would give other keys.
_SCHEMA = 1


@dataclass(frozen=True)
class KeyModel:
    """A causal language model that makes keys. ``before``: what it wants before a text, if
    anything: its token for the beginning."""

    network: Any
    tokenizer: ChunkTokenizer
    maker: KeyMaker
    before: tuple[int, ...]

    def keys(self, ids: npt.NDArray[np.integer], first: int) -> Floats:
        """(len(ids) - first, dim) float32, the keys of the tokens from number ``first`` on, each
        made from the tokens before it. A row of zeros for a token with nothing before it."""
        text = [*self.before, *ids.tolist()]
        shift = len(self.before)
        found = np.zeros((len(ids) - first, self.maker.dim), dtype=np.float32)
        start = max(first + shift - 1, 0)  # of the state that is the key of ``first``
        planned = windows(len(text) - 1, self.maker.window, start)
        step = max(1, AT_ONCE // self.maker.window)
        for place in range(0, len(planned), step):
            some = planned[place : place + step]
            rows = states(self.network, [text[each.start : each.end] for each in some])
            for each, row in zip(some, rows, strict=True):
                kept = row[each.skip :].numpy()
                to = each.start + each.skip + 1 - shift - first
                found[to : to + len(kept)] = kept
        if len(found) and not np.abs(found).max() <= _LARGEST:
            raise RetroError(
                f"{self.maker.name} has states that are no numbers, or beyond half precision",
                "check its weights; such a model cannot have a datastore",
            )
        return found


def key_model(opened: LanguageModel, name: str | Path, window: int = WINDOW) -> KeyModel:
    """Raises UsageError for an architecture whose keys cannot be reached, or a window of fewer than
    two tokens, or of more than it reads."""
    last_feed_forward(opened.network)
    config = opened.network.config
    if window < 2:
        raise UsageError(f"a window of {counted(window, 'token')}", "2 tokens at the least")
    longest = getattr(config, "max_position_embeddings", None) or window
    tokenizer = ChunkTokenizer(opened.folder, cut="exact", size=64)
    given = tokenizer.raw.encode("").ids
    begins = given[:1] if given and given[0] == config.bos_token_id else []
    named = portable_name(name) if goes_by_name(name) else str(Path(name).expanduser().resolve())
    maker = KeyMaker(
        named, model_fingerprint(opened.folder), int(config.hidden_size), min(window, longest)
    )
    return KeyModel(opened.network, tokenizer, maker, tuple(begins))


def model_fingerprint(folder: Path) -> str:
    """A sha256 (hex) over a model's weights, configuration of layers left out, and tokenizer."""
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    files = [*weights, folder / TOKENIZER]
    return fingerprint([_SCHEMA, [model_sha256(path, every_byte=False) for path in files]])


def require_maker(maker: KeyMaker, other: KeyMaker) -> None:
    """Raises EncoderMismatch unless keys of both may be compared. maker: of the datastore."""
    if maker.fits(other):
        return
    raise EncoderMismatch(
        f"the datastore's keys were made with {maker.name}, and {other.name} has other weights or "
        "another tokenizer",
        f"read with --model {maker.name}, or make it anew: retro datastore DB --model {other.name}",
    )
