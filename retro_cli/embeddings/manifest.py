"""The state of the embed stage: which vectors there are, and what made them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.errors import IntegrityError, NotBuiltYet
from retro_cli.store.atomic import read_json, write_json
from retro_cli.store.files import FileRecord, plain_name, whole_number

MANIFEST = "manifest.json"


def made_by(encoder: EncoderSpec, precision: str) -> str:
    """What tells vectors apart. Half and single precision agree to four digits, int8 does not."""
    return f"{encoder.fingerprint()} {'int8' if precision == 'int8' else 'float'}"


@dataclass(frozen=True)
class EmbeddedPart:
    """The vectors of one chunk part: a (rows, dim) float16 file, zero rows where it was skipped."""

    name: str  # of the chunk part
    rows: int
    embedded: int
    fingerprint: str  # of the chunk part's bytes, the skipped rows and the encoder
    file: FileRecord

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": self.rows,
            "embedded": self.embedded,
            "fingerprint": self.fingerprint,
            "file": self.file.to_json(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> EmbeddedPart:
        return cls(
            plain_name(value["name"]),
            whole_number(value["rows"]),
            whole_number(value["embedded"]),
            str(value["fingerprint"]),
            FileRecord.from_json(value["file"]),
        )


@dataclass(frozen=True)
class EmbeddingManifest:
    """All vectors of a database come from one encoder at one precision."""

    encoder: EncoderSpec
    precision: str
    parts: dict[str, EmbeddedPart] = field(default_factory=dict)

    @property
    def made_by(self) -> str:
        return made_by(self.encoder, self.precision)

    def to_json(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.to_json(),
            "precision": self.precision,
            "parts": [part.to_json() for _, part in sorted(self.parts.items())],
        }

    def save(self, folder: Path) -> None:
        write_json(folder / MANIFEST, self.to_json())


def load_manifest(folder: Path) -> EmbeddingManifest | None:
    """The committed manifest, or None before the first one. Raises IntegrityError."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        value = read_json(path)
        parts = [EmbeddedPart.from_json(part) for part in value["parts"]]
        return EmbeddingManifest(
            EncoderSpec.from_json(value["encoder"]),
            value["precision"],
            {part.name: part for part in parts},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} lacks what it should hold ({error})", "restore it from a backup"
        ) from error


def require_manifest(folder: Path) -> EmbeddingManifest:
    manifest = load_manifest(folder)
    if manifest is None:
        raise NotBuiltYet(
            f"{folder.parent} holds no vectors yet", f"run: retro embed {folder.parent}"
        )
    return manifest
