"""All three stages run again with nothing changed, on a database of 1,000 parts."""

from __future__ import annotations

import statistics

from context import Context, generated_file, main
from measure import retro, say
from results import Line, Result

PART_BYTES = 20_000


def measure(context: Context) -> Result:
    from retro_cli.chunks.manifest import require_manifest
    from retro_cli.pipeline import ChunkOptions, chunk
    from retro_cli.store.layout import Layout

    parts = context.pick(1000, 50)
    corpus = generated_file(context, 1.02 * parts * PART_BYTES / 1e6)
    layout = Layout(context.work / f"rerun-{parts}.db")
    # The command line cuts its parts in megabytes, the API in bytes; a rerun keeps what is there.
    say("chunk, embed and index for the first time")
    chunk(layout, [str(corpus)], {"encoder": "wordllama"}, ChunkOptions(part_bytes=PART_BYTES))
    retro("embed", layout.root)
    retro("index", layout.root)
    made = len(require_manifest(layout.chunks).parts)
    assert made >= parts, f"only {made} parts"
    stages = {
        "chunk": ["chunk", str(corpus), "--db", str(layout.root)],
        "embed": ["embed", str(layout.root)],
        "index": ["index", str(layout.root)],
    }
    times: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(context.pick(7, 3)):
        for name, words in stages.items():
            again = retro(*words)
            assert "up to date" in again.stderr, again.stderr
            times[name].append(again.seconds)
    lines = [
        Line(
            f"`retro {name}` again on {made:,} parts, nothing changed",
            "under 2 s",
            f"{statistics.median(seconds):.2f} s",
            statistics.median(seconds),
            2,
            False,
            {f"retro {name}, s": seconds},
        )
        for name, seconds in times.items()
    ]
    rows = require_manifest(layout.chunks).live_rows
    return Result("rerun", lines, {"parts": made, "chunks": rows})


if __name__ == "__main__":
    main("rerun", measure)
