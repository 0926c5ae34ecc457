"""Which readers can use which models."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from retro_cli.errors import RetroError, UsageError
from retro_cli.models.base import find_language_model, model_fields
from retro_cli.models.config import RetroConfig
from retro_cli.models.language import CAUSAL, MASKED, SEQ2SEQ, kind_of
from retro_cli.models.shipped import SHIPPED

RETRO = RetroConfig.model_type
_MIXTURES = ("rag-token", "rag-sequence")
READERS_OF: dict[str, tuple[str, ...]] = {
    CAUSAL: ("extract", "closed-book", "in-context", *_MIXTURES, "knn-lm", "memorizing"),
    SEQ2SEQ: _MIXTURES,
    MASKED: ("realm",),
    RETRO: ("retro",),
}


def check_fits(reader: str, model: str | Path, known: Collection[str]) -> None:
    """Raises UsageError for a model that the reader cannot use, and names readers that can.

    known: the readers that there are. What cannot be found or read is left to whoever loads it.
    """
    try:
        kind = _kind(model)
    except RetroError:
        return
    fitting = READERS_OF.get(kind, ())
    if not kind or reader in fitting or reader not in {r for of in READERS_OF.values() for r in of}:
        return
    what = "a RETRO model" if kind == RETRO else f"a {kind} language model"
    there = [name for name in fitting if name in known]
    mine = " or ".join(f"a {each} one" for each, readers in READERS_OF.items() if reader in readers)
    instead = f"read it with --reader {' or '.join(there)}, or name" if there else "name"
    raise UsageError(
        f"{model} is {what}, which the reader {reader} cannot use", f"{instead} {mine}"
    )


def _kind(model: str | Path) -> str:
    if str(model).casefold() in SHIPPED:
        return RETRO
    folder = Path(model).expanduser()
    if folder.is_dir() and model_fields(folder).get("model_type") == RETRO:
        return RETRO
    return kind_of(find_language_model(model))
