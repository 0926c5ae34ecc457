"""What a filter costs: adding a rule, queries afterwards, their recall, and scoring beforehand.

A million static chunks of ten sources. Every rule is added by ``retro filter add``. The other side
of the table is the same database after ``retro index --retrain``, which trains and adds only what
the rule leaves. The queries are chunks that no database holds; the truth is exact search over the
survivors.
"""

from __future__ import annotations

import json
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from context import Context, Floats, database, fresh, generated_file, main
from measure import alternate, retro, say
from paired import K, held_out_queries, paired_ratio, query_times
from results import Line, Result
from rows import MEGABYTES
from score_speed import scoring

from retro_cli.index.bench import interval
from retro_cli.index.exact import exact_search
from retro_cli.query.retrieve import Retriever
from retro_cli.store.layout import Layout

SOURCES = 10
LOTS = 1000  # a field of every document, so that a rule takes any share of them
REMOVED = (10, 100, 500, 900, 999)  # lots
TIMED_QUERIES = 200
RECALL_QUERIES = 1000
DEEP = 100
TARGET = 0.95  # of the index, by default

Ids = npt.NDArray[np.int64]


def measure(context: Context) -> Result:
    corpus = _corpus(context, 5.0 if context.quick else MEGABYTES)
    name = "quick-sources" if context.quick else "sources"
    db = database(context, name, [corpus], "wordllama", "embed", "index")
    queries = held_out_queries(context, context.pick(RECALL_QUERIES, 100))
    lines = _one_source(context, db, queries)
    found = [_removed(context, db, lots, queries) for lots in REMOVED]
    lines += [_recall_line(share) for share in found]
    lines += [_filled_line(found), *scoring(context)]
    facts = {
        "chunks": found[0].rows,
        "removed": {f"{share.lots / LOTS:.1%}": share.facts for share in found},
    }
    return Result("filtering", lines, facts)


def _corpus(context: Context, megabytes: float) -> Path:
    """The generated corpus with a source, and a lot, for every document."""
    plain = generated_file(context, megabytes)
    path = plain.with_name(plain.name.replace("generated", "sources"))
    if not path.exists():
        partial = path.with_suffix(".partial")
        with plain.open(encoding="utf-8") as lines, partial.open("w", encoding="utf-8") as out:
            for number, line in enumerate(lines):
                place = {"source": f"site-{number % SOURCES}", "lot": number % LOTS}
                out.write(json.dumps({**json.loads(line), **place}) + "\n")
        partial.rename(path)
    return path


def _copy(context: Context, db: Path, name: str) -> Path:
    return Path(shutil.copytree(db, fresh(context.work / f"{name}.db")))


def _timed(context: Context, queries: Floats) -> Floats:
    return queries[:: len(queries) // context.pick(TIMED_QUERIES, 50)]


# One source of ten


def _one_source(context: Context, db: Path, queries: Floats) -> list[Line]:
    """The rule is added and undone again and again, in a copy of the database."""
    copy = _copy(context, db, "filtered")

    def add(turn: int) -> float:
        if turn:
            retro("filter", "undo", copy, str(turn))  # rules are numbered from one
        return retro("filter", "add", copy, "--source", "site-3", "--reason", "benchmark").seconds

    times = alternate(
        {
            "retro filter add, s": add,
            "retro --version, s": lambda _: retro("--version").seconds,
        },
        context.pick(7, 2),
    )
    rows = _generation_rows(db)
    taken = rows - _generation_rows(copy)
    assert taken > 0.08 * rows
    sides = {"after": copy, "before": db}
    waits = query_times(sides, _timed(context, queries), context.pick(15, 2))
    fresh(copy)
    added, started = (statistics.median(values) for values in times.values())
    share = paired_ratio(waits["after"], waits["before"])
    medians = [statistics.median(values) for values in waits.values()]
    return [
        Line(
            f"`retro filter add --source` that takes {taken:,} of "
            f"{rows:,} chunks, the whole command",
            "under 1 s",
            f"{added:.2f} s ({added - started:.2f} s without the {started:.2f} s of "
            "`retro --version`)",
            added,
            1,
            False,
            times,
        ),
        Line(
            "the index's share of a query after that rule, against before, paired",
            "at most 1.25x",
            f"{share:.2f}x ({medians[0]:.2f}, {medians[1]:.2f} ms on one thread)",
            share,
            1.25,
            False,
            {f"{name}, ms": values for name, values in waits.items()},
        ),
    ]


# Any share of the documents


@dataclass(frozen=True)
class Filtered:
    """One share of the lots removed. ``recall``: mean, lower and upper end of its interval, of
    the filtered index and of the rebuilt one; ``filled``: share of the results asked for."""

    lots: int
    rows: int
    survivors: int
    recall: tuple[float, float, float]
    rebuilt_recall: tuple[float, float, float]
    filled: float
    waits: dict[str, list[float]]
    factories: tuple[str, str]

    @property
    def facts(self) -> dict[str, object]:
        return {
            "survivors": self.survivors,
            "recall, lower, upper": self.recall,
            "rebuilt: recall, lower, upper": self.rebuilt_recall,
            "filtered and rebuilt index": self.factories,
        }


def _removed(context: Context, db: Path, lots: int, queries: Floats) -> Filtered:
    copy = _copy(context, db, "filtered")
    retro("filter", "add", copy, "--where", f"lot < {lots}", "--reason", "benchmark")
    anew = _copy(context, copy, "rebuilt")
    retro("index", anew, "--retrain")
    filtered, rebuilt = Retriever(Layout(copy)), Retriever(Layout(anew))
    assert filtered.generation.rows == rebuilt.generation.rows
    survivors = filtered.generation.rows
    truth, _ = exact_search(filtered.vectors, queries, K, filtered.live())
    timed = _timed(context, queries)
    found = Filtered(
        lots=lots,
        rows=_generation_rows(db),
        survivors=survivors,
        recall=_recall(filtered, queries, truth),
        rebuilt_recall=_recall(rebuilt, queries, truth),
        filled=min(_filled(filtered, timed, k, survivors) for k in (K, DEEP)),
        waits=query_times({"filtered": copy, "rebuilt": anew}, timed, context.pick(5, 1)),
        factories=(filtered.generation.plan.factory, rebuilt.generation.plan.factory),
    )
    filtered.close()
    rebuilt.close()
    fresh(copy)
    fresh(anew)
    say(f"{lots / LOTS:.1%} removed: {survivors:,} left, {found.facts}")
    return found


def _generation_rows(db: Path) -> int:
    opened = Retriever(Layout(db))
    opened.close()
    return opened.generation.rows


def _recall(side: Retriever, queries: Floats, truth: Ids) -> tuple[float, float, float]:
    """Mean share of the true neighbours that were found, with its 95 % interval."""
    found, _ = side.nearest(queries, K)
    wanted = truth >= 0
    hits = ((truth[:, :, None] == found[:, None, :]).any(axis=2) & wanted).sum(axis=1)
    return interval(hits / wanted.sum(axis=1))


def _filled(side: Retriever, queries: Floats, k: int, survivors: int) -> float:
    """The lowest share of ``k`` results (or of all survivors) that any query got."""
    found, _ = side.nearest(queries, k)
    return float((found >= 0).sum(axis=1).min() / min(k, survivors))


def _recall_line(share: Filtered) -> Line:
    mine, theirs = (statistics.median(values) for values in share.waits.values())
    recall, low, high = share.recall
    return Line(
        f"recall@{K} with {share.lots / LOTS:.1%} of {share.rows:,} chunks filtered out, beside "
        "the index rebuilt without them",
        f"{TARGET}, less the 95 % interval",
        f"{recall:.3f} ({low:.3f} to {high:.3f}), rebuilt {share.rebuilt_recall[0]:.3f}; "
        f"a query takes {mine:.2f} ms, rebuilt {theirs:.2f} ms",
        high,
        TARGET,
        True,
        {f"{name}, ms": values for name, values in share.waits.items()},
    )


def _filled_line(found: list[Filtered]) -> Line:
    worst = min(share.filled for share in found)
    return Line(
        f"results of the query that got fewest of {K} or {DEEP}, over all these shares",
        "all that were asked for",
        f"{worst:.0%}",
        worst,
        1,
        True,
    )


if __name__ == "__main__":
    main("filtering", measure)
