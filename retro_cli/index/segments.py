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
from retro_cli.store.here import here
from retro_cli.wording import counted

DRIFT_SAMPLE = 4096


@dataclass(frozen=True)
class SegmentInfo:
    """``imbalance`` is 1 for lists of equal length, and the factor by which a search is slower.

    ``quantisation_error`` is the mean of 1 - cosine between a row and the centroid of its list,
    over a sample: when it grows from segment to segment the template no longer fits. It is None
    where no vectors were at hand, or the index does not compare by cosine. An empty segment has
    the ids -1.
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


def load_index(path: Path, flags: int = 0) -> Any:
    """The Faiss index in a file. Raises IntegrityError if there is none."""
    try:
        return faiss.read_index(str(here(Path(path))), flags)
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


def list_sizes(paths: Sequence[Path]) -> Ids:
    """(nlist,) how long each list is over all of some segments. Nothing else of them is read."""
    sizes = np.zeros(0, dtype=np.int64)
    for path in paths:
        index = load_index(path, faiss.IO_FLAG_MMAP)
        lists = inverted_file(index).invlists
        mine = np.array([lists.list_size(n) for n in range(lists.nlist)], dtype=np.int64)
        sizes = sizes + mine if len(sizes) else mine
    return sizes


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
    """(q, width) ids and scores by code within one segment, higher ones nearer: squared distances
    are negated. products: of the queries with the lists' centroids, or their squared distances.

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
    if ivf.metric_type == faiss.METRIC_L2:
        scores = -scores
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
    cosines = ivf.metric_type == faiss.METRIC_INNER_PRODUCT
    return SegmentInfo(
        rows=len(ids),
        bytes=out.stat().st_size,
        first_id=int(ids[0]) if len(ids) else -1,
        last_id=int(ids[-1]) if len(ids) else -1,
        imbalance=float(ivf.invlists.imbalance_factor()) if len(ids) else 1.0,
        quantisation_error=(
            quantisation_error(index, vectors, ids) if vectors is not None and cosines else None
        ),
    )


def quantisation_error(index: Any, vectors: Vectors, ids: Ids) -> float:
    """The mean of 1 - cosine between a row and the centroid of its list, over a sample.

    Rows without a vector count for nothing.
    """
    if not len(ids) or inverted_file(index).nlist == 1:
        return 0.0
    step = -(-len(ids) // DRIFT_SAMPLE)
    rows = vectors.gather(ids[::step])
    rows = rows[embedded(rows)]
    if not len(rows):
        return 0.0
    cosines, _ = inverted_file(index).quantizer.search(transformed(index, rows), 1)
    return float(np.mean(1 - cosines))
