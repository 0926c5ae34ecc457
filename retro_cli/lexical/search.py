"""Search a lexical state: BM25 over its chunks, masked by what a generation may show.

BM25 as Tantivy computes it (Robertson and Zaragoza 2009): k1 = 1.2, b = 0.75, the inverse document
frequency ln(1 + (N - n + 0.5) / (n + 0.5)). A word that stands twice in a query counts twice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from retro_cli.config import load_settings
from retro_cli.errors import IntegrityError, NotBuiltYet
from retro_cli.lexical.state import LexicalState, state_of_chunks
from retro_cli.lexical.words import words
from retro_cli.lexical.write import ID, TEXT, Wanted, open_index
from retro_cli.store.here import all_here
from retro_cli.store.layout import Layout
from retro_cli.wording import counted

if TYPE_CHECKING:
    from tantivy import Query

FEW = 2048  # so few allowed rows are named in the query
TIES = 10_000  # of equal scores, the first by id are found among so many
MOST_WORDS = 1024  # of a query
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]


class LexicalSearcher:
    """A lexical state, opened. Immutable and read-only; its files may be swept meanwhile."""

    def __init__(self, state: LexicalState) -> None:
        """Raises IntegrityError for files that cannot be read."""
        self.state = state
        # Tantivy makes a lock file where it opens an index, also to read: so beside links.
        self._links = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        links = Path(self._links.name)
        with _readable(state.folder):
            all_here(state.folder / record.name for record in state.files)
            for record in state.files:
                source = (state.folder / record.name).resolve(strict=True)
                (links / record.name).symlink_to(source)
            index = open_index(links, state.stemmer)
            index.config_reader("manual")
            self._searcher = index.searcher()
        self._schema = index.schema

    def search(self, text: str, k: int, allowed: Bits) -> tuple[Ids, Floats]:
        """The ids (n <= k,) of the best allowed rows that hold a word of ``text``, by falling
        score and then by id, and their scores. allowed: (next_id,) rows that may be found."""
        query = self._query(text)
        rows = int(allowed.sum())
        if query is None or not rows or k < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if rows <= FEW:
            ids, scores = self._hits(self._among(query, np.flatnonzero(allowed)), rows)
            return _best(ids, scores, allowed, k)
        fetch = k + 16
        while True:
            ids, scores = self._hits(query, fetch)
            found = _best(ids, scores, allowed, k)
            if len(ids) < fetch or _settled(found[1], scores, k, fetch):
                return found
            fetch *= 4

    def scores(self, text: str, ids: Ids) -> Floats:
        """(n,) the scores of some rows; 0 where no word of ``text`` stands."""
        query = self._query(text)
        result = np.zeros(len(ids), np.float32)
        if query is None or not len(ids):
            return result
        found, scores = self._hits(self._among(query, ids), len(ids))
        by_id = dict(zip(found.tolist(), scores.tolist(), strict=True))
        result[:] = [by_id.get(row, 0.0) for row in ids.tolist()]
        return result

    def everything(self) -> Ids:
        """(rows,) the ids of all rows in the files that are not dead, in order."""
        from tantivy import Query

        count = max(1, self._searcher.num_docs)
        return np.sort(self._hits(Query.all_query(), count)[0])

    def close(self) -> None:
        self._links.cleanup()

    def _query(self, text: str) -> Query | None:
        """Any of the words; None where the index has none of them."""
        from tantivy import Occur, Query

        asked = words(text, self.state.stemmer)[:MOST_WORDS]
        with _readable(self.state.folder):
            held = [word for word in asked if self._searcher.doc_freq(TEXT, word)]
        clauses = [(Occur.Should, Query.term_query(self._schema, TEXT, w, "freq")) for w in held]
        return Query.boolean_query(clauses) if clauses else None

    def _among(self, query: Query, ids: Ids) -> Query:
        from tantivy import Occur, Query

        named = Query.term_set_query(self._schema, ID, ids.tolist())
        mask = Query.const_score_query(named, 0.0)
        return Query.boolean_query([(Occur.Must, mask), (Occur.Must, query)])

    def _hits(self, query: Query, limit: int) -> tuple[Ids, Floats]:
        with _readable(self.state.folder):
            hits = self._searcher.search(query, limit, count=False).hits
            addresses: list[Any] = [address for _, address in hits]
            ids = np.array(self._searcher.fast_field_values(ID, addresses), dtype=np.int64)
        return ids, np.array([score for score, _ in hits], dtype=np.float32)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Around what Tantivy reads. Raises IntegrityError for damaged files, of which some make it
    panic: that is no Exception in Python, and has no class that could be named."""
    try:
        yield
    except BaseException as error:
        panic = type(error).__module__ == "pyo3_runtime"
        if panic or isinstance(error, (OSError, ValueError, TypeError, OverflowError)):
            raise IntegrityError(
                f"{folder} cannot be read ({error})", "run retro index to make it again"
            ) from error
        raise


def open_searcher(layout: Layout, chunks: str) -> LexicalSearcher:
    """The words of a chunk manifest, known by its sha256. Raises NotBuiltYet, IntegrityError."""
    while True:
        state = state_of_chunks(layout.lexical, chunks)
        if state is None:
            off = "" if load_settings(layout).words else " --words"
            raise NotBuiltYet(
                f"{layout.root} has no lexical index of these chunks yet",
                f"run: retro index {layout.root}{off}",
            )
        try:
            return LexicalSearcher(state)
        except IntegrityError:
            if state.folder.is_dir():  # else a newer one took its place just then
                raise


def other_rows(wanted: Wanted) -> str:
    """Whether the state of a chunk manifest holds other chunks than it should; "" if not.

    Raises NotBuiltYet, IntegrityError.
    """
    have = open_searcher(wanted.layout, wanted.chunks).everything()
    missing = np.setdiff1d(np.flatnonzero(wanted.rows), have)
    more = len(have) + len(missing) - int(wanted.rows.sum())
    if not len(missing) and not more:
        return ""
    return f"lexical: {counted(len(missing), 'chunk')} missing, {more:,} that should not be there"


def _best(ids: Ids, scores: Floats, allowed: Bits, k: int) -> tuple[Ids, Floats]:
    known = ids < len(allowed)  # after a rollback the state may know later chunks
    known[known] = allowed[ids[known]]
    ids, scores = ids[known], scores[known]
    order = np.lexsort((ids, -scores))[:k]
    return ids[order], scores[order]


def _settled(best: Floats, fetched: Floats, k: int, fetch: int) -> bool:
    """Whether fetching more could not change the best ``k``, but for ties beyond measure."""
    return len(best) == k and (bool(fetched[-1] < best[-1]) or fetch > TIES)
