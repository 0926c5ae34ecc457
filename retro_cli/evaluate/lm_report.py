"""What an evaluation was asked, what it found, and what has to be known to read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from retro_cli.errors import UsageError
from retro_cli.evaluate.bootstrap import RESAMPLES, Estimate
from retro_cli.evaluate.measures import FEW, OFF, SHUFFLED, Measured

VERIFIED, TRAINED, NO_BASE = "verified", "trained", "from_scratch"
BACKBONE = "backbone"


@dataclass(frozen=True)
class LmSettings:
    """texts: files. window, stride: tokens. k: neighbours of the main comparison, the model's own
    by default. neighbours: further k. shares: percent of the database's documents. limit: of
    documents. max_tokens: of each, in whole chunks. batch: windows at a time. base: where the
    model's base is now. resamples: of the intervals."""

    texts: tuple[str, ...]
    window: int | None = None
    stride: int | None = None
    k: int | None = None
    neighbours: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    limit: int | None = None
    max_tokens: int | None = None
    batch: int = 1
    decontaminate: bool = False
    seed: int = 0
    resamples: int = RESAMPLES
    device: str = "auto"
    base: str | None = None

    def check(self) -> None:
        """Raises UsageError."""
        for share in self.shares:
            if not 0 < share <= 100:
                raise UsageError(f"--shares {share:g}", "percent of the database, above 0 to 100")
        for count in (*self.neighbours, *([] if self.k is None else [self.k])):
            if count < 1:
                raise UsageError(f"{count} neighbours", "ask for at least one")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Contaminated:
    """A document that was left out, and the one of the database that it copies."""

    name: str
    copy: str
    jaccard: float


@dataclass(frozen=True)
class LmReport:
    """What was measured, on what. ``tokens`` and ``bytes`` are the scored ones.

    counts, shares: what was asked for besides -> the name of its condition in ``measured``, "on"
    where it is that of the main comparison. settings: as they were used. seconds: of all, and of
    the model alone.
    """

    model: str
    database: str
    measured: Measured
    counts: dict[int, str]
    shares: dict[float, str]
    documents: int
    chunks: int
    tokens: int
    bytes: int
    contaminated: tuple[Contaminated, ...]
    too_short: tuple[str, ...]
    generation: int
    encoder: str
    database_rows: int
    retokenised: bool
    backbone: str
    base: str
    table: str
    settings: LmSettings
    seconds: float
    model_seconds: float

    def notes(self) -> list[str]:
        """What a reader of the numbers has to know."""
        settings = self.settings
        said = [
            "A document's first token has nothing before it: it is not scored, and its bytes are "
            "not counted.",
            {
                VERIFIED: f"Without retrieval the model is its backbone, {self.base}: the hash of "
                "its weights was verified, so it was computed once.",
                TRAINED: "The backbone has other weights than the base that it came from: off is "
                "the backbone as it is now.",
                NO_BASE: "The model was trained from scratch: off is the model without retrieval, "
                "and no other backbone is compared.",
            }[self.backbone],
        ]
        if SHUFFLED in self.measured.overall.bpb:
            said.append(
                "Shuffled: the same model reads the neighbours of a random chunk of another "
                f"document (seed {settings.seed})."
            )
        else:
            said.append("A single document has no other to exchange neighbours with.")
        if self.documents < 2:
            said.append("Intervals are over documents, and there is only one.")
        if self.retokenised:
            said.append(
                "The database was cut with another tokenizer: neighbours are tokenised again."
            )
        if self.contaminated:
            said.append(
                f"{len(self.contaminated)} documents that the database holds, or nearly, were "
                "left out (13-gram Jaccard similarity of 0.8 or more)."
            )
        elif not settings.decontaminate:
            said.append("Documents that the database may hold were not looked for.")
        if self.too_short:
            said.append(f"{len(self.too_short)} documents were too short to be scored.")
        return said

    def to_json(self) -> dict[str, Any]:
        """One object; every estimate with ``value``, ``low``, ``high`` and ``documents``."""
        bpb = {name: asdict(value) for name, value in self.measured.overall.bpb.items()}
        others = {name: asdict(value) for name, value in self.measured.others.items()}
        known = {**bpb, **others}
        if self.backbone != NO_BASE:
            bpb[BACKBONE] = bpb[OFF]
        flat = {
            name: getattr(self, name)
            for name in (
                "model", "database", "generation", "encoder", "database_rows", "base", "backbone",
                "retokenised", "table", "documents", "chunks", "tokens", "bytes",
            )
        }  # fmt: skip
        return {
            **flat,
            "bpb": bpb,
            "differences": _differences(self.measured.overall.differences),
            "leakage": [
                {
                    "alpha": row.alpha,
                    "shared_tokens_below": None if row.alpha is not None else FEW,
                    "chunks": row.chunks,
                    "bytes": row.bytes,
                    "bpb": {name: asdict(value) for name, value in row.compared.bpb.items()},
                    "differences": _differences(row.compared.differences),
                }
                for row in self.measured.leakage
            ],
            "neighbours": [
                {"k": k, **known[name], "against_on": self._against_on(name)}
                for k, name in self.counts.items()
            ],
            "shares": [
                {"percent": p, **known[name], "against_on": self._against_on(name)}
                for p, name in self.shares.items()
            ],
            "contaminated": [asdict(one) for one in self.contaminated],
            "too_short": list(self.too_short),
            "settings": self.settings.to_json(),
            "notes": self.notes(),
            "seconds": round(self.seconds, 3),
            "model_seconds": round(self.model_seconds, 3),
            "tokens_per_second": round(self.tokens / max(self.model_seconds, 1e-6), 1),
        }

    def _against_on(self, name: str) -> dict[str, Any] | None:
        """None for "on" itself."""
        found = self.measured.against_on.get(name)
        return None if found is None else asdict(found)


def _differences(found: dict[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(value) for name, value in found.items()}
