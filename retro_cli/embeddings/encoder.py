"""One contract for every encoder, and the choice of the backend that fulfils it.

| kind                  | query | bulk, CPU            | GPU   |
|-----------------------|-------|----------------------|-------|
| bert                  | numpy | onnxruntime, or int8 | torch |
| static                | numpy | numpy                | numpy |
| sentence-transformers | torch | torch                | torch |
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retro_cli.embeddings.bert import BertEncoder, Forward
from retro_cli.embeddings.bert_weights import BertWeights, load_bert, read_config
from retro_cli.embeddings.folder import base_folder, weights_file
from retro_cli.embeddings.resolve import ResolvedEncoder, tokenizer_path
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.embeddings.static import StaticEncoder
from retro_cli.embeddings.tokens import TextTokenizer
from retro_cli.errors import UsageError

Floats = npt.NDArray[np.float32]

_PRECISIONS = ("fp32", "int8", "fp16")
_PURPOSES = ("bulk", "query")
_DEVICES = ("auto", "cpu", "cuda")


class Encoder(Protocol):
    """Texts or token ids -> (n, dim) float32 rows of length one, in the order given.

    A text of which nothing is left (a static encoder's empty text) is a zero row.
    """

    @property
    def spec(self) -> EncoderSpec: ...

    @property
    def takes_ids(self) -> bool:
        """Whether ``encode_ids`` works; without a fast tokenizer it raises ConfigError."""

    def encode_ids(self, ids: Sequence[npt.NDArray[np.integer]]) -> Floats:
        """Rows for token ids without special tokens; too many are cut off at the end."""

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Rows for texts, each after the document prompt."""

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Rows for texts, each after the query prompt."""


def load_encoder(
    resolved: ResolvedEncoder,
    *,
    purpose: str = "bulk",
    precision: str = "fp32",
    device: str = "auto",
    threads: int = 0,
) -> Encoder:
    """Load the backend that serves ``purpose`` best.

    purpose: "bulk" for many texts, "query" for a few at once and a fast start (always in float32
        on a CPU, whatever the precision of the stored vectors)
    precision: "fp32"; "int8" weights (a CPU, kind "bert"); "fp16" (a GPU)
    device: "auto" takes a GPU for bulk work if there is one
    threads: of the CPU backends; 0 means all processors

    Raises UsageError for a combination that no backend offers.
    """
    _one_of("purpose", purpose, _PURPOSES)
    _one_of("precision", precision, _PRECISIONS)
    _one_of("device", device, _DEVICES)
    spec = resolved.spec
    if spec.kind == "static":
        return StaticEncoder(spec, weights_file(resolved.folder), tokenizer_path(resolved))
    if purpose == "query" and device != "cuda":
        device, precision = "cpu", "fp32"
    device = _device(device, precision)
    if spec.kind == "sentence-transformers":
        from retro_cli.embeddings.sentence import SentenceEncoder

        if precision == "int8":
            raise _unavailable(precision, f"{spec.name} on any device")
        return SentenceEncoder(
            spec,
            resolved.folder,
            device=device,
            half=precision == "fp16",
            threads=threads or _cores(),
        )
    model = load_bert(weights_file(resolved.folder), read_config(base_folder(resolved.folder)))
    tokenizer = TextTokenizer(tokenizer_path(resolved), spec.max_tokens)
    forward = _forward(model, spec, purpose, precision, device, threads)
    return BertEncoder(spec, tokenizer, forward)


def auto_precision(spec: EncoderSpec, device: str) -> str:
    """Half precision where a GPU will encode, single precision elsewhere."""
    on_gpu = spec.kind != "static" and device != "cpu" and _has_gpu()
    return "fp16" if on_gpu else "fp32"


def _forward(
    model: BertWeights, spec: EncoderSpec, purpose: str, precision: str, device: str, threads: int
) -> Forward:
    if device == "cuda":
        from retro_cli.embeddings.bert_torch import TorchBert

        return TorchBert(model, spec.pooling, device=device, half=precision == "fp16")
    if purpose == "query":
        from retro_cli.embeddings.bert_numpy import NumpyBert

        return NumpyBert(model, spec.pooling)
    from retro_cli.embeddings.bert_onnx import OnnxBert

    return OnnxBert(model, spec.pooling, int8=precision == "int8", threads=threads or _cores())


def _device(device: str, precision: str) -> str:
    """Settle "auto", and refuse what a device cannot do."""
    if device == "auto":
        device = "cuda" if precision != "int8" and _has_gpu() else "cpu"
    elif device == "cuda" and not _has_gpu():
        raise UsageError("there is no CUDA device here", "use --device cpu")
    if device == "cpu" and precision == "fp16":
        raise _unavailable(precision, "a CPU")
    if device == "cuda" and precision == "int8":
        raise _unavailable(precision, "a GPU")
    return device


def _cores() -> int:
    from retro_cli.engine.local import cores  # brings process pools along, so not for a query

    return cores()


def _has_gpu() -> bool:
    """Whether torch can use a GPU; torch is asked only where a driver is in sight."""
    if not (os.path.exists("/dev/nvidiactl") or shutil.which("nvidia-smi")):
        return False
    import torch

    return bool(torch.cuda.is_available())


def _unavailable(precision: str, where: str) -> UsageError:
    return UsageError(
        f"precision {precision} is not available for {where}",
        "fp32 works everywhere; int8 needs a CPU and a BERT encoder, fp16 a GPU",
    )


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} '{value}' is not known", f"choose one of {', '.join(choices)}")
