"""Which index to build: a pure function of rows, dimension, memory and the recall asked for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from retro_cli.errors import ConfigError
from retro_cli.wording import counted

EXACT_FACTORY = "IVF1,SQfp16"
EXACT_ROWS = 30_000  # up to here one query over every row takes under a millisecond
# Of the training sample. Faiss uses up to 256, but those took twice the time of the whole build
# for the same nprobe at the same recall (1 M rows of 256 floats), as did twice as many lists.
POINTS_PER_LIST = 40
MIN_POINTS_PER_LIST = 39
GRAPH_LISTS = 16_384  # from here on, a graph finds a row's list four times as fast as a scan
GRAPH_DEGREE = 32
TRAINING_ROUNDS = 10
TUNED_K = 10  # recall is measured at this k, and ``candidates`` is meant for it

_FACTORY = re.compile(
    r"(?P<transform>(?:OPQ\d+(?:_\d+)?|RR\d+|PCAR?\d+),)?"
    r"IVF(?P<lists>\d+)(?P<graph>_HNSW(?P<degree>\d+))?,"
    r"(?P<code>Flat|SQ4|SQ6|SQ8|SQfp16|RaBitQ(?:fs)?\d?|PQ\d+x4fsr?|PQ\d+(?:x\d+)?)"
)


@dataclass(frozen=True)
class IndexPlan:
    """``candidates`` of a query are scored again exactly, from the float16 vectors.

    ``code_bytes`` are those of one row, its id included; ``bytes_total`` are those of the whole
    index, without the vectors.
    """

    factory: str
    nlist: int
    training_rows: int
    code_bytes: int
    bytes_total: int
    candidates: int
    reason: str
    exact: bool


@dataclass(frozen=True)
class Speed:
    """What this machine does in a second, measured by ``train.probe``."""

    assigned_flops: float  # finding the nearest of many centroids
    encoded_floats: float  # turning vectors into codes
    read_floats: float  # float16 from a file to float32


@dataclass(frozen=True)
class Costs:
    """Estimates: seconds and bytes of a build."""

    train_seconds: float
    add_seconds: float
    peak_bytes: int
    disk_bytes: int


def plan_index(
    rows: int, dim: int, memory_bytes: int, recall: float = 0.95, factory: str = ""
) -> IndexPlan:
    """The index for ``rows`` vectors of ``dim`` floats that should fit ``memory_bytes``.

    ``factory`` names one instead. Raises ConfigError for a factory that is not an inverted file
    or "Flat", for more lists than rows, and for a recall outside (0, 1].
    """
    if not 0 < recall <= 1:
        raise ConfigError(f"a recall of {recall:g}", "ask for a share above 0 and up to 1")
    if factory:
        return _given(rows, dim, recall, factory)
    if rows <= EXACT_ROWS:
        return _plan(
            rows,
            dim,
            recall,
            EXACT_FACTORY,
            f"{counted(rows, 'row is', 'rows are')} few enough to score all",
        )
    lists = list_count(rows)
    coarse = f"IVF{lists}" + (f"_HNSW{GRAPH_DEGREE}" if lists >= GRAPH_LISTS else "")
    for code in _codes(dim):
        plan = _plan(rows, dim, recall, f"{coarse},{code}", "")
        if plan.bytes_total <= memory_bytes:
            break
    fits = "fit in" if plan.bytes_total <= memory_bytes else "are the fewest possible, not within"
    reason = (
        f"{counted(rows, 'row')} in {counted(lists, 'list')} of {code} codes "
        f"take {_size(plan.bytes_total)} and {fits} {_size(memory_bytes)}"
    )
    return _plan(rows, dim, recall, plan.factory, reason)


def list_count(rows: int) -> int:
    """About 2 sqrt(rows), as a power of two, with enough rows to train every list."""
    wanted: int = 1 << round(math.log2(2 * math.sqrt(max(rows, 1))))
    return max(1, min(wanted, rows // MIN_POINTS_PER_LIST))


def parse_factory(factory: str) -> tuple[int, str]:
    """The number of lists and the code of an inverted-file factory string.

    Raises ConfigError with a hint for anything else.
    """
    match = _FACTORY.fullmatch(factory)
    if match is None or not int(match["lists"]):
        raise ConfigError(
            f"the index factory '{factory}' is not one that retro can build",
            "name an inverted file, such as IVF4096,SQ8 or IVF4096,RaBitQfs, or Flat for exact "
            "search; no refinement is needed, results are always scored again exactly",
        )
    return int(match["lists"]), match["code"]


def points_for_codes(factory: str) -> int:
    """The rows below which Faiss warns that product codes, or a rotation for them, are learned from
    too few: 39 for each of the values that a piece of a code can take."""
    _, code = parse_factory(factory)
    bits = [8] if factory.startswith("OPQ") else []
    if code.startswith("PQ"):
        bits.append(_piece_bits(code)[1])
    return MIN_POINTS_PER_LIST << max(bits) if bits else 0


def _piece_bits(code: str) -> tuple[int, int]:
    """How many pieces a product code has, and the bits of each."""
    pieces, _, bits = code[2:].partition("x")
    return int(pieces), int(re.sub(r"\D", "", bits) or 8)


def code_size(code: str, dim: int) -> int:
    """Bytes of one row in a list: its code and its 8-byte id."""
    if code == "Flat":
        return 4 * dim + 8
    if code == "SQfp16":
        return 2 * dim + 8
    if code.startswith("SQ"):
        return -(-dim * int(code[2:]) // 8) + 8
    if code.startswith("RaBitQ"):
        bits = int(code[-1]) if code[-1].isdigit() else 1
        # One bit, then the extra bits, of each dimension; the factors that undo the rotation.
        return -(-dim // 8) + -(-dim * (bits - 1) // 8) + (8 if bits == 1 else 20) + 8
    pieces, bits = _piece_bits(code)
    return -(-pieces * bits // 8) + 8


def predict(plan: IndexPlan, rows: int, dim: int, speed: Speed) -> Costs:
    """What building ``plan`` over ``rows`` vectors of ``dim`` floats will cost, from a probe."""
    training = min(plan.training_rows, rows)
    compared = plan.nlist
    if "_HNSW" in plan.factory:  # a graph is walked, not scanned
        compared = min(plan.nlist, 64 * GRAPH_DEGREE)
    train = 2.0 * TRAINING_ROUNDS * training * plan.nlist * dim / speed.assigned_flops
    floats = rows * dim
    add = 2.0 * floats * compared / speed.assigned_flops
    add += floats / speed.encoded_floats + floats / speed.read_floats
    block = 65_536 * dim * 4 * 2
    return Costs(
        train_seconds=train + training * dim / speed.read_floats,
        add_seconds=add,
        peak_bytes=max(3 * training * dim * 4, plan.bytes_total + block),
        disk_bytes=plan.bytes_total + plan.nlist * dim * 4,
    )


def _given(rows: int, dim: int, recall: float, factory: str) -> IndexPlan:
    asked = factory.strip()
    if asked == "Flat":
        asked = EXACT_FACTORY
    lists, _ = parse_factory(asked)
    if lists > max(rows, 1):
        raise ConfigError(
            f"{asked} has {counted(lists, 'list')} for {counted(rows, 'row')}",
            f"use at most IVF{max(1, rows // MIN_POINTS_PER_LIST)}",
        )
    return _plan(rows, dim, recall, asked, f"{factory.strip()} was asked for")


def _plan(rows: int, dim: int, recall: float, factory: str, reason: str) -> IndexPlan:
    lists, code = parse_factory(factory)
    exact = factory == EXACT_FACTORY
    size = code_size(code, dim)
    graph = (4 * 2 * GRAPH_DEGREE + 16) * lists if "_HNSW" in factory else 0
    return IndexPlan(
        factory=factory,
        nlist=lists,
        training_rows=0 if exact else min(rows, max(POINTS_PER_LIST * lists, 16_384)),
        code_bytes=size,
        bytes_total=rows * size + 4 * dim * lists + graph,
        candidates=_candidates(code, recall),
        reason=reason,
        exact=exact,
    )


def _candidates(code: str, recall: float) -> int:
    """How many of the best by code hold the ten best: coarser codes need more."""
    if code == "Flat" or (code.startswith("SQ") and code != "SQ4"):
        return 40
    return 100 if recall <= 0.97 else 200


def _codes(dim: int) -> list[str]:
    """From the most faithful to the smallest: of the product codes, those that are worth having."""
    pieces = [p for p in range(dim // 8, dim // 32, -1) if dim % p == 0]
    return ["SQ8", "RaBitQfs", *(f"PQ{p}x4fs" for p in pieces if p in (pieces[0], pieces[-1]))]


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
