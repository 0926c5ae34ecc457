"""What a corpus of N tokens would cost here: rows, bytes, memory and time, from a short probe.

Rows and vector bytes are arithmetic. Everything else is an estimate and says so: text bytes a
token come from typical English, speeds from a probe of this machine, and a machine that is
shared, or a corpus in another language, will differ.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retro_cli.chunks.job import PART_BYTES
from retro_cli.chunks.splitter import split
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.embeddings.encoder import auto_precision, load_encoder
from retro_cli.embeddings.resolve import ResolvedEncoder
from retro_cli.engine import ANYWHERE, Load, Where
from retro_cli.engine.local import cores
from retro_cli.engine.open import choose
from retro_cli.index.merging import SEGMENT_ROWS
from retro_cli.index.plan import IndexPlan, Speed, plan_index, predict
from retro_cli.index.train import probe

BYTES_A_TOKEN = 3.9  # of English text under a 30,000-word WordPiece
FILL = 0.985  # tokens a chunk really holds, of those it may hold (whole words only)
CHUNK_BYTES_A_TOKEN = 2.9  # text, ids and offsets in zstd Parquet
MOST_TOKENS = 10**14


@dataclass(frozen=True)
class Cost:
    """One stage. ``seconds`` on this machine; ``disk`` and ``memory`` in bytes; ``engine``: where
    its parts would run, and why."""

    stage: str
    seconds: float
    disk: float
    memory: float
    engine: str
    because: str


@dataclass(frozen=True)
class Probe:
    """What a machine did in a few seconds: bytes of text and chunks a second, and the index's."""

    tokenise_rate: float
    embed_rate: float
    index: Speed
    seconds: float = 0.0


@dataclass(frozen=True)
class CorpusPlan:
    tokens: int
    chunk_tokens: int
    rows: int
    dim: int
    index: IndexPlan
    costs: tuple[Cost, ...]
    probe: Probe


def plan_corpus(
    tokens: int,
    encoder: ResolvedEncoder,
    tokenizer: Path,
    *,
    chunk_tokens: int = 64,
    precision: str = "fp32",
    memory_bytes: int = 4 << 30,
    recall: float = 0.95,
    where: Where = ANYWHERE,
) -> CorpusPlan:
    """Probe this machine for about two seconds, then scale up. ``tokens`` up to 10**14."""
    begun = time.monotonic()
    if precision == "auto":
        precision = auto_precision(encoder.spec, "auto")
    tokenise = _tokenise_rate(tokenizer, chunk_tokens)
    embed = _embed_rate(encoder, tokenizer, precision, chunk_tokens)
    speed = probe(encoder.spec.dim)
    found = Probe(tokenise, embed, speed, time.monotonic() - begun)
    return estimate(
        tokens,
        encoder.spec.dim,
        found,
        chunk_tokens=chunk_tokens,
        memory_bytes=memory_bytes,
        recall=recall,
        where=where,
    )


def estimate(
    tokens: int,
    dim: int,
    machine: Probe,
    *,
    chunk_tokens: int = 64,
    memory_bytes: int = 4 << 30,
    recall: float = 0.95,
    where: Where = ANYWHERE,
) -> CorpusPlan:
    """What a probe means for so many tokens and vectors of ``dim`` floats. Pure, but that a stage's
    engine depends on the cores there are."""
    rows = rows_of(tokens, chunk_tokens)
    plan = plan_index(rows, dim, memory_bytes, recall)
    index = predict(plan, rows, dim, machine.index)
    text = tokens * BYTES_A_TOKEN
    pieces = max(1, round(text / PART_BYTES))

    def cost(
        stage: str, seconds: float, disk: float, memory: float, pieces: int, workers: int = 1
    ) -> Cost:
        chosen = choose(where, Load(pieces, seconds * cores(), Path(), workers))
        return Cost(stage, seconds, disk, memory, chosen.name, chosen.why)

    to_index, segments = index.train_seconds + index.add_seconds, -(-rows // SEGMENT_ROWS)
    costs = (
        cost(
            "chunk",
            text / machine.tokenise_rate,
            tokens * CHUNK_BYTES_A_TOKEN,
            4e8 * cores(),
            pieces,
            cores(),
        ),
        cost("embed", rows / machine.embed_rate, rows * dim * 2.0, 9e8, pieces),
        cost("index", to_index, index.disk_bytes, index.peak_bytes, segments),
    )
    return CorpusPlan(tokens, chunk_tokens, rows, dim, plan, costs, machine)


def rows_of(tokens: int, chunk_tokens: int = 64) -> int:
    """Chunks of so many tokens, of which whole words leave some places empty."""
    return max(1, round(tokens / (chunk_tokens * FILL)))


def _tokenise_rate(tokenizer: Path, size: int) -> float:
    """Bytes of text a second on all cores, from a sample with many distinct words."""
    random = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlu"))
    words = ["".join(random.choice(letters, random.integers(2, 9))) for _ in range(8000)]
    ranks = np.minimum(random.zipf(1.3, 120_000) - 1, len(words) - 1)
    text = " ".join(words[rank] for rank in ranks)
    tool = ChunkTokenizer(tokenizer)
    begun = time.monotonic()
    for _ in split(tool.windows(text), len(text), size):
        pass
    # Writing the parts costs about as much again as tokenising.
    return 0.5 * len(text) / (time.monotonic() - begun) * cores()


def _embed_rate(encoder: ResolvedEncoder, tokenizer: Path, precision: str, size: int) -> float:
    """Chunks a second in bulk, from about a second of encoding."""
    model = load_encoder(encoder, purpose="bulk", precision=precision, device="auto")
    random = np.random.default_rng(0)
    words = ChunkTokenizer(tokenizer).vocabulary
    batch = [random.integers(words // 2, words, size).astype(np.uint32) for _ in range(64)]
    model.encode_ids(batch[:1])  # the first call sets buffers up
    begun = time.monotonic()
    model.encode_ids(batch[:8])
    # As many at once as take half a second, so that a slow machine is not asked for minutes.
    batch = batch[: max(8, int(4 / (time.monotonic() - begun)))]
    begun, done = time.monotonic(), 0
    while done == 0 or time.monotonic() - begun < 0.5:
        model.encode_ids(batch)
        done += len(batch)
    return done / (time.monotonic() - begun)


def parse_count(text: str) -> int:
    """``2e12``, ``300M``, ``1.5B``, ``2T`` or ``66_000_000`` as a number. Raises ValueError."""
    units = {"K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
    plain = text.strip().upper().replace("_", "").replace(",", "")
    factor = units.get(plain[-1:], 1)
    value = float(plain[:-1] if factor > 1 else plain) * factor
    if not 1 <= value <= MOST_TOKENS:
        raise ValueError(f"{text} is not between 1 and {MOST_TOKENS:,}")
    return round(value)
