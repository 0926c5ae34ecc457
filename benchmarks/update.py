"""What it costs to keep a database up to date, against building it from nothing.

An update and a build are the same command, ``retro build``, each timed whole. After a month of
nightly updates, queries and size are compared with a fresh build of the last night's corpus.
"""

from __future__ import annotations

import json
import shutil
import statistics
from itertools import islice
from pathlib import Path

import generate
import numpy as np
from context import SEED, Context, Floats, fresh, generated_file, main
from measure import ratio, retro, say
from paired import K, held_out_queries, paired_ratio, query_times
from results import Line, Result
from rows import MEGABYTES

from retro_cli.index.exact import exact_search
from retro_cli.query.retrieve import Retriever
from retro_cli.store.layout import Layout

STATIC = ("--encoder", "wordllama")
UPDATES = 3
BESIDE, APPENDED, FILES, NIGHTLY = 10, 20, 30, 40  # streams of the generator that bring news
FILES_MEGABYTES = 21.6
MONTH_MEGABYTES = 21.5
NIGHTS = 30
COMPACTIONS = ("compact", "compact --max-dead 0 --keep-generations 1")
CHANGED = 0.01  # of the documents, every night
QUERIES = 500
OPENINGS = 15
LIMIT = 1.3


def measure(context: Context) -> Result:
    million, rows = _million(context)
    files, file_rows = _files(context)
    month, month_rows = _month(context)
    facts = {"static chunks": rows, "MiniLM chunks": file_rows, "chunks after a month": month_rows}
    return Result("update", [*million, files, *month], facts)


def _million(context: Context) -> tuple[list[Line], int]:
    """1 % of news in a file of its own, then 1 % at the end of the one big file."""
    megabytes = 5.0 if context.quick else MEGABYTES
    corpus, db = context.work / "update.jsonl", fresh(context.work / "update.db")
    shutil.copyfile(generated_file(context, megabytes), corpus)
    built = retro("build", corpus, "--db", db, *STATIC).seconds
    rows = _rows(db)
    say(f"{rows:,} chunks built in {built:.1f} s")
    inputs, beside, appended = [corpus], [], []
    for number in range(context.pick(UPDATES, 1)):
        inputs.append(generated_file(context, megabytes / 100, BESIDE + number))
        beside.append(_update(db, inputs))
    for number in range(context.pick(UPDATES, 1)):
        news = generated_file(context, megabytes / 100, APPENDED + number)
        with corpus.open("ab") as out:
            out.write(news.read_bytes())
        appended.append(_update(db, inputs))
    what = f"`retro build` that adds 1 % to {rows:,} static chunks, against building these"
    lines = [
        _share(f"{what}: a new file beside the old one", 0.1, beside, built),
        _share(f"{what}: documents appended to the one file of all", 0.1, appended, built),
    ]
    return lines, rows


def _files(context: Context) -> tuple[Line, int]:
    """A folder of text files that gets 1 % more of them."""
    folder, db = fresh(context.work / "update-files"), fresh(context.work / "update-files.db")
    folder.mkdir()
    records = generated_file(context, 0.2 if context.quick else FILES_MEGABYTES)
    count = _write_files(folder, records.read_text(encoding="utf-8").splitlines())
    assert context.quick or count >= 1000, f"only {count} files"
    precision = ("--precision", "int8")
    built = retro("build", folder, "--db", db, *precision).seconds
    rows = _rows(db)
    say(f"{count:,} files, {rows:,} chunks built in {built:.1f} s")
    updates = []
    for number in range(context.pick(UPDATES, 1)):
        news = islice(generate.documents(SEED, FILES + number), max(1, count // 100))
        _write_files(folder, [json.dumps(record) for record in news])
        updates.append(_update(db, [folder]))
    what = (
        f"`retro build` that adds 1 % to {count:,} files of {rows:,} chunks with all-MiniLM-L6-v2 "
        "in int8 (which leaves the parts that do not embed a larger share than fp32), against "
        "building these"
    )
    return _share(what, 0.03, updates, built), rows


def _write_files(folder: Path, lines: list[str]) -> int:
    for line in lines:
        record = json.loads(line)
        (folder / f"{record['id']}.txt").write_text(record["text"], encoding="utf-8")
    return len(lines)


def _update(db: Path, inputs: list[Path]) -> float:
    before = _rows(db)
    seconds = retro("build", *inputs, "--db", db).seconds
    added = _rows(db) - before
    assert added > 0.005 * before, f"only {added} chunks came to {before}"
    say(f"  {added:,} chunks more in {seconds:.2f} s")
    return seconds


def _share(what: str, limit: float, updates: list[float], built: float) -> Line:
    value = statistics.median(updates) / built
    return Line(
        what,
        f"at most {limit:.0%}",
        f"{value:.1%} ({statistics.median(updates):.2f} s, {built:.0f} s)",
        value,
        limit,
        False,
        {"update, s": updates, "build, s": [built]},
    )


def _month(context: Context) -> tuple[list[Line], int]:
    """Half of each night's change replaces documents, half adds new ones."""
    corpus, db = context.work / "month.jsonl", fresh(context.work / "month.db")
    first = generated_file(context, 2.0 if context.quick else MONTH_MEGABYTES)
    records = [json.loads(line) for line in first.read_text(encoding="utf-8").splitlines()]
    _write(corpus, records)
    retro("build", corpus, "--db", db, *STATIC)
    news = generate.documents(SEED, NIGHTLY)
    rng = np.random.default_rng(SEED)
    nights = []
    for _ in range(context.pick(NIGHTS, 4)):
        half = max(1, round(CHANGED * len(records) / 2))
        for old in rng.choice(len(records), half, replace=False):
            records[old] = {**next(news), "id": records[old]["id"]}
        records += islice(news, half)
        _write(corpus, records)
        nights.append(retro("build", corpus, "--db", db).seconds)
    say(f"{len(nights)} nights: median {statistics.median(nights):.2f} s, last {nights[-1]:.2f} s")
    anew = fresh(context.work / "month-fresh.db")
    retro("build", corpus, "--db", anew, *STATIC)
    queries = held_out_queries(context, context.pick(QUERIES, 50))
    title = f"{len(nights)} nightly updates of {CHANGED:.0%} ({_rows(anew):,} chunks)"
    lines = _against_fresh(context, title, db, anew, queries)
    for words in COMPACTIONS:
        copy = Path(shutil.copytree(db, fresh(context.work / "month-compact.db")))
        command, *options = words.split()
        say(f"{words}: {retro(command, copy, *options).stderr.strip()}")
        lines += _against_fresh(context, f"{title}, then `retro {words}`", copy, anew, queries)
    return lines, _rows(anew)


def _write(path: Path, records: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def _against_fresh(
    context: Context, title: str, db: Path, anew: Path, queries: Floats
) -> list[Line]:
    sides = [Retriever(Layout(path)) for path in (db, anew)]
    assert sides[0].generation.rows == sides[1].generation.rows
    recalls = [_recall(side, queries) for side in sides]
    segments = [len(side.generation.segments) for side in sides]
    for side in sides:
        side.close()
    paths = {"kept up to date": db, "fresh": anew}
    times = query_times(paths, queries, context.pick(OPENINGS, 2))
    mine, theirs = times.values()
    sizes = [_bytes(path) for path in (db, anew)]
    medians = [statistics.median(values) for values in (mine, theirs)]
    return [
        Line(
            f"{title}: the index's share of a query, against a fresh build",
            f"at most {LIMIT}x",
            f"{ratio(mine, theirs):.2f}x, paired {paired_ratio(mine, theirs):.2f}x "
            f"({medians[0]:.2f}, {medians[1]:.2f} ms on one thread; {segments[0]} segments, "
            f"{segments[1]}; recall@{K} {recalls[0]:.3f}, {recalls[1]:.3f})",
            ratio(mine, theirs),
            LIMIT,
            False,
            {f"{name}, ms": values for name, values in times.items()},
        ),
        Line(
            f"{title}: size on disk, against a fresh build",
            f"at most {LIMIT}x",
            f"{sizes[0] / sizes[1]:.2f}x ({sizes[0] / 1e6:.0f}, {sizes[1] / 1e6:.0f} MB)",
            sizes[0] / sizes[1],
            LIMIT,
            False,
            {"kept up to date, bytes": [float(sizes[0])], "fresh, bytes": [float(sizes[1])]},
        ),
    ]


def _recall(side: Retriever, queries: Floats) -> float:
    truth, _ = exact_search(side.vectors, queries, K, side.live())
    found, _ = side.nearest(queries, K)
    return float((found[:, :, None] == truth[:, None, :]).any(axis=1).mean())


def _rows(db: Path) -> int:
    retriever = Retriever(Layout(db))
    retriever.close()
    return retriever.generation.rows


def _bytes(db: Path) -> int:
    return sum(path.stat().st_size for path in db.rglob("*") if path.is_file())


if __name__ == "__main__":
    main("update", measure)
