"""Segments: immutable inverted files that share one trained template.

A segment is written once. Adding makes a new one; merging and dropping read loaded copies and
write a new file from the same codes. A mapped index is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from retro_cli.errors import IntegrityError
from retro_cli.events import SILENT, Progress
from retro_cli.index.exact import faiss_threads
from retro_cli.index.vectors import BLOCK_ROWS, Floats, Ids, Vectors, embedded
from retro_cli.wording import counted

MAX_OPEN = 8
CHEAP_ROWS = 1 << 20
FOLD = 0.1
DRIFT_SAMPLE = 4096


@dataclass(frozen=True)
class SegmentInfo:
    """``imbalance`` is 1 for lists of equal length, and the factor by which a search is slower.

    ``quantisation_error`` is the mean of 1 - cosine between a row and the centroid of its list,
    over a sample: when it grows from segment to segment the template no longer fits. It is None
    where no vectors were at hand. An empty segment has the ids -1.
    """

    rows: int
    bytes: int
    first_id: int
    last_id: int
    imbalance: float
    quantisation_error: float | None


def build_segment(
    template_path: Path,
    vectors: Vectors,
    ids: Ids,
    out: Path,
    threads: int = 0,
    progress: Progress = SILENT,
) -> SegmentInfo:
    """Add the embedded rows of ``ids`` (sorted int64) to a copy of the template, write ``out``.

    The caller gives a temporary path, syncs and renames it. The same input gives the same bytes.
    """
    index = load_index(template_path)
    ids = np.asarray(ids, dtype=np.int64)
    progress.started("adding", len(ids), "rows")
    with faiss_threads(threads):
        for start in range(0, len(ids), BLOCK_ROWS):
            block_ids = ids[start : start + BLOCK_ROWS]
            rows = vectors.gather(block_ids)
            keep = embedded(rows)
            if keep.any():  # fast-scan codes refuse to add nothing
                index.add_with_ids(rows[keep], block_ids[keep])
            progress.advanced("adding", len(block_ids))
        info = _write(index, out, vectors)
    progress.finished("adding", counted(info.rows, "row"))
    return info


def merge_segments(
    paths: Sequence[Path],
    out: Path,
    vectors: Vectors | None = None,
    dead: npt.NDArray[np.uint8] | None = None,
) -> SegmentInfo:
    """One segment of the same codes and ids as ``paths``, which share a template, without the
    dead rows. dead: one bit an id, packed little-endian; ids past its end live."""
    merged = load_index(paths[0])
    for path in paths[1:]:
        merged.merge_from(load_index(path), 0)
    bits = np.ascontiguousarray(dead if dead is not None else [], dtype=np.uint8)
    if bits.any():
        merged.remove_ids(bitmap_selector(bits))
    return _write(merged, out, vectors)


def drop_ids(
    path: Path, dead: npt.NDArray[np.uint8], out: Path, vectors: Vectors | None = None
) -> SegmentInfo:
    """A copy of a segment without its dead rows, same codes."""
    return merge_segments([path], out, vectors, dead)


def merge_plan(
    sizes: Sequence[int], new: int = 0, max_open: int = MAX_OPEN, dead: int = 0
) -> list[list[int]]:
    """Which segments to merge: groups of positions in ``sizes``, each to become one segment.

    sizes: rows of each segment; new: rows of one about to be added, at position len(sizes); dead:
    how many of all these rows are dead. Every further segment costs each query, so up to
    ``CHEAP_ROWS`` in all are a large segment and a small one, and one again as soon as the small
    one or the dead are a tenth: rewriting so many codes takes a second, and in between the
    generations that are kept share the large one. Of more rows, a segment is rewritten once the
    smaller ones hold twice as much as it does, so each row is rewritten a logarithmic number of
    times and a small update never rewrites a large segment; beyond ``max_open`` segments the
    smallest are merged regardless.
    """
    counts = [*sizes, *([new] if new else [])]
    order = sorted(range(len(counts)), key=lambda position: (counts[position], position))
    total = sum(counts)
    if len(counts) > 1 < max_open and total <= CHEAP_ROWS:
        if max(dead, total - max(counts)) >= FOLD * total:
            return [sorted(order)]
        return [sorted(order[:-1])] if len(order) > 2 else []
    take, smaller = 0, 0
    for rank, position in enumerate(order):
        if rank and 2 * counts[position] <= smaller:
            take = rank + 1
        smaller += counts[position]
    if len(order) - max(0, take - 1) > max_open:
        take = len(order) - max_open + 1
    return [sorted(order[:take])] if take > 1 else []


def load_index(path: Path, flags: int = 0) -> Any:
    """The Faiss index in a file. Raises IntegrityError if there is none."""
    try:
        return faiss.read_index(str(path), flags)
    except RuntimeError as error:
        what = "is missing" if not Path(path).exists() else "is not an index that Faiss can read"
        raise IntegrityError(f"{path} {what}", "run retro index to make it again") from error


def write_index(index: Any, path: Path) -> None:
    """Faiss writes through a Python file: its own writer would not say why it failed."""
    callback: Any = faiss.PyCallbackIOWriter  # type: ignore[attr-defined]
    with path.open("wb") as file:
        faiss.write_index(index, callback(file.write))


def inverted_file(index: Any) -> Any:
    """The inverted file within ``index``, as its own class. Keep ``index`` while it is used."""
    return faiss.downcast_index(faiss.extract_index_ivf(index))


def bitmap_selector(bits: npt.NDArray[np.uint8]) -> Any:
    """Selects the ids whose bit is set (packed little-endian). It keeps ``bits`` alive."""
    selector: Any = faiss.IDSelectorBitmap  # its stub shows the signature below the wrapper
    return selector(bits)


def stored_ids(index: Any) -> Ids:
    """(ntotal,) sorted ids of all rows in an inverted file."""
    lists = inverted_file(index).invlists
    pieces = [np.empty(0, dtype=np.int64)]
    for number in range(lists.nlist):
        size = lists.list_size(number)
        if size:
            held = lists.get_ids(number)
            pieces.append(faiss.rev_swig_ptr(held, size).copy())
            lists.release_ids(number, held)
    return np.sort(np.concatenate(pieces))


def transformed(index: Any, rows: Floats) -> Floats:
    """``rows`` as the inverted file sees them: rotated where a transform such as OPQ is ahead."""
    if not isinstance(index, faiss.IndexPreTransform):
        return rows
    chain: Any = index.chain
    for number in range(chain.size()):
        rows = chain.at(number).apply(rows)
    return rows


def scan_lists(
    ivf: Any, queries: Floats, lists: Ids, products: Floats, width: int, settings: Any
) -> tuple[Ids, Floats]:
    """(q, width) ids and scores by code within one segment.

    Faiss's own wrapper of this call takes no parameters, so this calls what it wraps.
    """
    ids = np.empty((len(queries), width), dtype=np.int64)
    scores = np.empty((len(queries), width), dtype=np.float32)
    pointer = faiss.swig_ptr
    ivf.search_preassigned_c(
        len(queries),
        pointer(queries),
        width,
        pointer(lists),
        pointer(products),
        pointer(scores),
        pointer(ids),
        False,
        settings,
    )
    # Where nothing is found Faiss leaves an id of -1 beside whatever score its heap began with.
    scores[ids < 0] = -np.inf
    return ids, scores


def check_alike(ivfs: list[Any], indexes: list[Any], paths: Sequence[Path], dim: int) -> None:
    """Raises IntegrityError unless all segments have ``dim`` and the same number of lists."""
    for ivf, index, path in zip(ivfs, indexes, paths, strict=True):
        if index.d != dim or ivf.nlist != ivfs[0].nlist:
            raise IntegrityError(
                f"{path} has {index.d} dimensions in {ivf.nlist} lists, not {dim} in "
                f"{ivfs[0].nlist}",
                "run retro index to make it again",
            )


def holds_float16(ivf: Any) -> bool:
    """Whether codes are the float16 rows themselves, so that a score by code is exact."""
    return (
        isinstance(ivf, faiss.IndexIVFScalarQuantizer)
        and ivf.sq.qtype == faiss.ScalarQuantizer.QT_fp16
        and not ivf.by_residual
    )


def _write(index: Any, out: Path, vectors: Vectors | None) -> SegmentInfo:
    ids = stored_ids(index)
    write_index(index, out)
    ivf = inverted_file(index)
    return SegmentInfo(
        rows=len(ids),
        bytes=out.stat().st_size,
        first_id=int(ids[0]) if len(ids) else -1,
        last_id=int(ids[-1]) if len(ids) else -1,
        imbalance=float(ivf.invlists.imbalance_factor()) if len(ids) else 1.0,
        quantisation_error=None if vectors is None else _error(index, vectors, ids),
    )


def _error(index: Any, vectors: Vectors, ids: Ids) -> float:
    if not len(ids) or inverted_file(index).nlist == 1:
        return 0.0
    step = -(-len(ids) // DRIFT_SAMPLE)
    rows = transformed(index, vectors.gather(ids[::step]))
    cosines, _ = inverted_file(index).quantizer.search(rows, 1)
    return float(np.mean(1 - cosines))
