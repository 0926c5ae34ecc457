"""A generation: everything one answer needs, by name. Readers open one and never see half a change.

``gen-000007.json`` names the segments, bitmaps, vectors and the chunk manifest it was made from;
``CURRENT`` names the generation that queries open, and is replaced last, in one rename.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.errors import DatabaseTooNew
from retro_cli.index.plan import IndexPlan
from retro_cli.store.atomic import write_bytes, write_json
from retro_cli.store.files import FileRecord, plain_name, typed, whole_number
from retro_cli.store.layout import FORMAT_VERSION

CURRENT = "CURRENT"


@dataclass(frozen=True)
class Segment:
    """One immutable inverted file: rows by id order of arrival, sharing the template.

    error: mean of 1 - cosine between a row and the centroid of its list (-1: not measured);
    imbalance: 1 for lists of equal length, else the factor by which it slows a search
    """

    file: FileRecord
    rows: int
    error: float = -1.0
    imbalance: float = 1.0

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "file": self.file.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Segment:
        return typed(cls, {**value, "file": FileRecord.from_json(value["file"])})


@dataclass(frozen=True)
class Fit:
    """How well the lists fit what they hold now.

    new_rows: rows that a search may return and that came after the training; new_error: their
    mean of 1 - cosine to the centroid of their list; imbalance: of all segments' lists together
    """

    new_rows: int = 0
    new_error: float = 0.0
    imbalance: float = 1.0


@dataclass(frozen=True)
class Filtered:
    """The rules that a generation was made with, and the rows that they keep out (a bitmap).

    ``key`` identifies the rules and the scores they read.
    """

    rules: tuple[int, ...] = ()
    key: str = ""
    rows: FileRecord | None = None

    def to_json(self) -> dict[str, Any]:
        rows = self.rows.to_json() if self.rows else None
        return {"rules": list(self.rules), "key": self.key, "rows": rows}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Filtered:
        rows = FileRecord.from_json(value["rows"]) if value["rows"] else None
        rules = tuple(whole_number(number) for number in value["rules"])
        return cls(rules, str(value["key"]), rows)


@dataclass(frozen=True)
class Quality:
    """Recall@10 against exact search, as measured when nprobe was chosen.

    The truth and the result leave out a query's own row and its exact copies. ``low`` and
    ``high`` bound the 95 % interval over ``queries``; ``text_recall`` is the same for short
    text queries; ``rows`` is how many rows there were then, and ``next_id`` the first id after
    them.
    """

    target: float
    recall: float
    low: float
    high: float
    queries: int
    met: bool
    text_recall: float | None
    text_queries: int
    rows: int
    next_id: int


@dataclass(frozen=True)
class Generation:
    """``indexed``: rows in some segment; ``dead``: those that no search may return (bitmaps)."""

    number: int
    plan: IndexPlan
    requested_factory: str
    template: FileRecord
    template_rows: int
    segments: tuple[Segment, ...]
    indexed: FileRecord
    dead: FileRecord
    chunks: FileRecord
    vectors: dict[str, str]  # chunk part name -> file in embeddings/
    encoder: EncoderSpec
    precision: str
    rows: int  # that a search may return
    nprobe: int
    candidates: int
    quality: Quality
    seed: int
    filtered: Filtered = Filtered()
    cause: str = ""  # what made it, for people
    trained_error: float = -1.0  # the segments' mean error when the template was trained
    trained: FileRecord | None = None  # the rows that were indexed then (a bitmap)
    trained_imbalance: float = 1.0  # of the lists of all segments then
    fit: Fit = Fit()

    def files(self) -> list[FileRecord]:
        return [
            self.template,
            self.indexed,
            self.dead,
            self.chunks,
            *(segment.file for segment in self.segments),
            *([self.filtered.rows] if self.filtered.rows else []),
            *([self.trained] if self.trained and self.trained != self.indexed else []),
        ]

    @property
    def file_name(self) -> str:
        return f"gen-{self.number:06d}.json"

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT_VERSION,
            "number": self.number,
            "plan": asdict(self.plan),
            "requested_factory": self.requested_factory,
            "template": self.template.to_json(),
            "template_rows": self.template_rows,
            "segments": [segment.to_json() for segment in self.segments],
            "indexed": self.indexed.to_json(),
            "dead": self.dead.to_json(),
            "chunks": self.chunks.to_json(),
            "vectors": self.vectors,
            "encoder": self.encoder.to_json(),
            "precision": self.precision,
            "rows": self.rows,
            "nprobe": self.nprobe,
            "candidates": self.candidates,
            "quality": asdict(self.quality),
            "seed": self.seed,
            "filtered": self.filtered.to_json(),
            "cause": self.cause,
            "trained_error": self.trained_error,
            "trained_imbalance": self.trained_imbalance,
            "fit": asdict(self.fit),
            "trained": self.trained.to_json() if self.trained else None,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Generation:
        if value["format"] > FORMAT_VERSION:
            raise DatabaseTooNew(
                f"the index has format {value['format']}, this retro reads {FORMAT_VERSION}",
                "upgrade: pip install --upgrade retro-cli",
            )
        plain = ("number", "requested_factory", "template_rows", "vectors", "precision", "rows")
        more = ("nprobe", "candidates", "seed", "cause", "trained_error")
        trained = value.get("trained")  # these three are not in generations of older versions
        made = cls(
            **{name: value[name] for name in (*plain, *more)},
            trained_imbalance=value.get("trained_imbalance", 1.0),
            fit=typed(Fit, value.get("fit", {})),
            trained=FileRecord.from_json(trained) if trained else None,
            plan=typed(IndexPlan, value["plan"]),
            template=FileRecord.from_json(value["template"]),
            segments=tuple(Segment.from_json(segment) for segment in value["segments"]),
            indexed=FileRecord.from_json(value["indexed"]),
            dead=FileRecord.from_json(value["dead"]),
            chunks=FileRecord.from_json(value["chunks"]),
            encoder=EncoderSpec.from_json(value["encoder"]),
            quality=typed(Quality, value["quality"]),
            filtered=Filtered.from_json(value["filtered"]),
        )
        made.check()
        return made

    def check(self) -> None:
        """Raises ValueError for what no index run has written."""
        typed(Generation, vars(self))
        for name in (*self.vectors, *self.vectors.values()):
            plain_name(name)
        if self.nprobe < 1 or self.candidates < 1 or self.rows < 0:
            raise ValueError(f"{self.nprobe} lists, {self.candidates} candidates, {self.rows} rows")
        if self.filtered.rules and self.filtered.rows is None:
            raise ValueError("rules without the rows that they keep out")

    def save(self, folder: Path) -> None:
        """Write the generation, then point CURRENT at it."""
        write_json(folder / self.file_name, self.to_json())
        write_bytes(folder / CURRENT, (self.file_name + "\n").encode())
