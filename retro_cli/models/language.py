"""Any language model that Hugging Face's libraries load, by name or folder, ready to read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

from retro_cli.errors import IntegrityError, UsageError
from retro_cli.models.base import DEFAULT_BASE, find_language_model
from retro_cli.models.kinds import CAUSAL, MASKED, SEQ2SEQ, kind_of
from retro_cli.models.quiet import without_bars

__all__ = [
    "CAUSAL", "MASKED", "SEQ2SEQ", "LanguageModel", "end_tokens", "find_device", "kind_of",
    "load_errors", "open_language_model",
]  # fmt: skip

_LOADERS = {
    CAUSAL: AutoModelForCausalLM,
    SEQ2SEQ: AutoModelForSeq2SeqLM,
    MASKED: AutoModelForMaskedLM,
}


@dataclass(frozen=True)
class LanguageModel:
    """network: a PreTrainedModel, evaluating, on its device. tokenizer: a fast one, its own."""

    folder: Path
    kind: str
    network: Any
    tokenizer: Any


def open_language_model(
    name: str | Path = DEFAULT_BASE,
    kinds: Collection[str] = (CAUSAL,),
    device: str = "auto",
    *,
    reader: str = "",
    allow_download: bool = False,
) -> LanguageModel:
    """The model with its tokenizer, in float32 on a CPU and as it was saved on a GPU.

    kinds: of CAUSAL, SEQ2SEQ and MASKED, those that will do. reader: who asks, for the message.
    Raises what ``find_language_model`` does, UsageError for a model of another kind or a device
    that is not there, IntegrityError for weights that cannot be loaded.
    """
    where = find_device(device)
    folder = find_language_model(name, allow_download)
    kind = kind_of(folder)
    if kind not in kinds:
        what = f"a {kind} language model" if kind else "no language model that retro knows"
        whose = f", which the reader {reader} cannot use" if reader else ""
        example = f", such as {DEFAULT_BASE}" if CAUSAL in kinds else ""
        wanted = " or ".join(f"a {each} one" for each in kinds)
        raise UsageError(f"{name} is {what}{whose}", f"name {wanted}{example}")
    dtype = torch.float32 if where == "cpu" else "auto"
    with load_errors(folder), without_bars():
        network = _LOADERS[kind].from_pretrained(folder, dtype=dtype, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return LanguageModel(folder, kind, network.to(where).eval(), tokenizer)


@contextmanager
def load_errors(folder: Path) -> Iterator[None]:
    """Turn what loading damaged weights raises into IntegrityError."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IntegrityError(
            f"the model in {folder} cannot be loaded: {reason}", "save it again, or name another"
        ) from error


def find_device(name: str) -> str:
    """auto, cpu or cuda -> cpu or cuda. Raises UsageError."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {name}", "choose auto, cpu or cuda")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UsageError("there is no GPU that torch can use", "--device cpu")
    return "cuda" if there and name != "cpu" else "cpu"


def end_tokens(*configs: Any) -> frozenset[int]:
    """What ends a text, as the first of some configurations says that names it."""
    for config in configs:
        ends = getattr(config, "eos_token_id", None)
        if ends is not None:
            return frozenset([ends] if isinstance(ends, int) else ends)
    return frozenset()
