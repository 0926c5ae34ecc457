"""Ten random chunk texts out of a million: what printing the answer to a query costs."""

from __future__ import annotations

import statistics
import time

import numpy as np
from context import Context, database, generated_file, main
from results import Line, Result

MEGABYTES = 215.0  # about a million chunks
PICKED = 10
SEED = 1


def measure(context: Context) -> Result:
    from retro_cli.chunks.manifest import require_manifest
    from retro_cli.chunks.rows import ChunkRows
    from retro_cli.store.layout import Layout

    corpus = generated_file(context, 5 if context.quick else MEGABYTES)
    name = "quick-million" if context.quick else "million"
    folder = Layout(database(context, name, [corpus], "wordllama")).chunks
    manifest = require_manifest(folder)
    rng = np.random.default_rng(SEED)
    rows = ChunkRows(folder, manifest.parts)
    times = []
    for _ in range(210):
        ids = rng.choice(manifest.next_id, PICKED, replace=False).tolist()
        begun = time.perf_counter()
        chunks = rows.get(ids)
        times.append(1000 * (time.perf_counter() - begun))
        assert [chunk.id for chunk in chunks] == ids
        assert all(chunk.text for chunk in chunks)
    times = times[10:]  # the first ones open the files
    median = statistics.median(times)
    return Result(
        "rows",
        [
            Line(
                f"{PICKED} random chunk texts of {manifest.next_id:,}, warm",
                "5 ms",
                f"{median:.1f} ms (95 % under {np.percentile(times, 95):.1f} ms)",
                median,
                5,
                False,
                {"ChunkRows.get, ms": times},
            )
        ],
        {"chunks": manifest.next_id, "parts": len(manifest.parts)},
    )


if __name__ == "__main__":
    main("rows", measure)
