"""What an encoder is, in values: everything that decides which vector a text gets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from retro_cli.config import fingerprint

EXTERNAL = "external"  # the kind of an encoder that is not known here


@dataclass(frozen=True)
class EncoderSpec:
    """A frozen encoder. Two specs with one fingerprint give the same vectors.

    name: as the user named it (a local folder: its absolute path); not part of the fingerprint
    kind: "bert" (retro's own backends run it), "static" or "sentence-transformers"
    max_tokens: the longest input in tokens, special tokens included; more is cut off
    pooling: "mean" or "cls"
    normalize: whether the vectors have length one; retro searches by inner product, so always
    query_prompt, document_prompt: text put before every query or document
    architecture: what the weights alone do not tell, such as the number of attention heads
    """

    name: str
    kind: str
    dim: int
    max_tokens: int
    pooling: str
    normalize: bool
    query_prompt: str
    document_prompt: str
    weights_sha256: str
    tokenizer_sha256: str
    architecture: str = ""

    def fingerprint(self) -> str:
        """A sha256 (hex) over everything that shapes a vector."""
        shaping = asdict(self)
        del shaping["name"]
        return fingerprint(shaping)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> EncoderSpec:
        """Raises KeyError, TypeError or ValueError where ``value`` is not a spec."""
        spec = cls(**value)
        for field in fields(cls):
            if type(getattr(spec, field.name)).__name__ != field.type:
                raise ValueError(f"encoder {field.name}: {getattr(spec, field.name)!r}")
        return spec
