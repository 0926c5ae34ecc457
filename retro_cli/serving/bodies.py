"""What may be asked: the bodies of requests, with their bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from retro_cli.query.search import Search

MOST_HITS = 1000
MOST_TOKENS = 512
MOST_BEAMS = 8

Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Sources = Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=64)]
Where = Annotated[str, Field(max_length=4000)]
TableName = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
Vector = (
    Annotated[list[float], Field(min_length=1, max_length=16_384)]
    | Annotated[str, Field(min_length=1, max_length=90_000)]
)
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
ReaderName = Literal["retro", "closed-book", "in-context", "rag-token", "rag-sequence"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Asked(_Body):
    """What to look for: a text or a vector, and how."""

    text: Text | None = None
    vector: Vector | None = Field(
        default=None, description="Numbers, or base64 of float32, little-endian, which is faster."
    )
    k: int = Field(default=5, ge=1, le=MOST_HITS)
    source: Sources = []
    where: Where = ""
    retriever: Literal["dense", "bm25", "hybrid"] = "dense"
    fusion: Literal["rrf", "interpolate"] = "rrf"
    weight: Share = 0.5
    rerank: bool = Field(
        default=False, description="With the model that the server was started with."
    )
    mmr: Share | None = None
    per_document: int | None = Field(default=None, ge=1)
    level: Literal["chunk", "doc"] = "chunk"
    nprobe: int | None = Field(default=None, ge=1)
    explain: bool = False

    def search(self, reranker: str) -> Search:
        """reranker: the server's own."""
        return Search(
            self.retriever,
            self.fusion,
            self.weight,
            reranker if self.rerank else "",
            self.mmr,
            self.per_document,
            self.level,
            self.nprobe,
        )


class Prompt(_Body):
    """A text to continue, and how."""

    prompt: Text
    reader: ReaderName = "retro"
    max_tokens: int = Field(default=128, ge=1, le=MOST_TOKENS)
    k: int | None = Field(default=None, ge=1, le=64)
    retrieval_step: int | None = Field(default=None, ge=1)
    doc_temperature: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    beams: int = Field(default=1, ge=1, le=MOST_BEAMS)
    length_penalty: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    decoding: Literal["exact", "thorough", "fast"] = "exact"


class Question(_Body):
    """A question, and how it is looked up and answered."""

    question: Text
    reader: Literal["extract", "in-context", "closed-book"] | None = None
    k: int = Field(default=5, ge=1, le=64)
    max_tokens: int = Field(default=64, ge=1, le=MOST_TOKENS)
    least: Share | None = None
    source: Sources = []
    where: Where = ""
    retriever: Literal["auto", "dense", "bm25", "hybrid"] = "auto"


class RuleBody(_Body):
    """What a filter rule takes, as ``retro filter add`` is told it."""

    reason: str = Field(default="", max_length=2000)
    source: Sources = []
    document: Sources = []
    chunk: list[int] = Field(default=[], max_length=1000)
    where: Where = ""
    match: str = Field(default="", max_length=2000)
    min_toxicity: Share | None = None
    level: Literal["chunk", "document", "source"] = "chunk"
    scores: TableName = "default"
    only: bool = False
    copies: Literal["none", "exact", "near"] = "none"
    once: bool = False
    yes: bool = Field(default=False, description="Even if it takes nothing, or everything.")
