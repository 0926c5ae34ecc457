"""``retro serve`` on 200,000 chunks, with the load generator on the same cores.

Queries with their vectors given count; those in words are shown apart, since they wait for the
encoder. Then rules come and go under the same load, so that generations change: none may be lost.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from context import Context, database, fresh, generated_file, main, prose_file
from hybrid import GENERATED_MEGABYTES, questions
from load import Load
from measure import say
from results import Line, Result

from retro_cli.database import Database

CONNECTIONS = 4
QUERIES = 4000
TEXTS = 300
SWAPS = 3
K = 5
TOKEN = "a-token-for-the-benchmark"


def measure(context: Context) -> Result:
    inputs = [prose_file(context, 0.4 if context.quick else None)]
    if not context.quick:
        inputs.append(generated_file(context, GENERATED_MEGABYTES))
    name = "quick-cold" if context.quick else "cold"  # the database that cold.py makes too
    db = database(context, name, inputs, "all-MiniLM-L6-v2", "embed --precision int8", "index")
    copy = Path(shutil.copytree(db, fresh(context.work / "serve.db")))
    texts = questions(context.data, context.pick(TEXTS, 30))
    count = context.pick(QUERIES, 200)
    with Database.open(copy) as opened:
        chunks = opened.retriever.generation.rows
        vectors = opened.encoder.encode_queries(texts)
        chunk = opened.query(texts[0], 1)[0].chunk
    by_vector = [{"vector": row, "k": K} for row in _near(vectors, count)]
    with _served(copy) as (port, process):
        _load(context, port, by_vector[: count // 4])  # warms
        before = _cpu(process)
        found = _load(context, port, by_vector)
        cpu = 1000 * (_cpu(process) - before) / count
        words = _load(context, port, [{"text": text, "k": K} for text in texts])
        swapped = _swapped(context, port, by_vector, chunk)
    p50, p99 = np.percentile(found.latencies, [50, 99]).tolist()
    text50, text99 = np.percentile(words.latencies, [50, 99]).tolist()
    say(f"in words: {words.rate:.0f}/s, {text50:.1f} ms, p99 {text99:.1f} ms; {cpu:.1f} ms CPU")
    on = f"on {chunks:,} chunks, {CONNECTIONS} connections from the same cores"
    lines = [
        Line(
            f"`retro serve`: queries with vectors given, {on}", "at least 200/s",
            f"{found.rate:.0f}/s (in words {words.rate:.0f}/s)", found.rate, 200.0, True,
            {"ms": found.latencies, "in words, ms": words.latencies},
        ),
        Line(
            f"`retro serve`: the slowest of a hundred, {on}", "at most 50 ms",
            f"{p99:.1f} ms, median {p50:.1f} (in words {text99:.1f}, {text50:.1f})",
            p99, 50.0, False,
        ),
        Line(
            f"`retro serve`: requests lost while {2 * SWAPS} generations change", "none",
            f"{swapped.failed} of {len(swapped.latencies):,}", float(swapped.failed), 0.0, False,
        ),
    ]  # fmt: skip
    facts = {"chunks": chunks, "connections": CONNECTIONS, "server_cpu_ms_a_query": round(cpu, 2)}
    return Result("serve", lines, facts)


def _near(vectors: Any, count: int) -> list[str]:
    """Vectors near those of the questions, as base64, no two of them alike."""
    drawn = np.random.default_rng(1)
    rows = vectors[drawn.integers(len(vectors), size=count)]
    rows = rows + 0.02 * drawn.standard_normal(rows.shape)
    return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in rows]


@contextmanager
def _served(db: Path) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and its process."""
    command = [sys.executable, "-m", "retro_cli", "serve", str(db), "--port", "0", "--json"]
    environment = {**os.environ, "RETRO_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            yield int(url.rsplit(":", 1)[1]), process.pid
        finally:
            process.terminate()


def _load(context: Context, port: int, bodies: list[dict[str, Any]]) -> Load:
    with _loading(context, port, bodies) as process:
        out, _ = process.communicate()
    return Load(**json.loads(out))


def _loading(context: Context, port: int, bodies: list[dict[str, Any]]) -> subprocess.Popen[bytes]:
    path = context.work / "serve-requests.jsonl"
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies), encoding="utf-8")
    script = Path(__file__).parent / "load.py"
    command = [sys.executable, str(script), str(port), str(CONNECTIONS), str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _swapped(context: Context, port: int, bodies: list[dict[str, Any]], chunk: int) -> Load:
    """The same load while a rule is added and undone."""
    with _loading(context, port, bodies) as process:
        for number in range(1, SWAPS + 1):
            _post(port, "filters", {"chunk": [chunk], "reason": "to change the generation"})
            time.sleep(0.2)
            _post(port, f"filters/{number}/undo", {})
        out, _ = process.communicate()
    return Load(**json.loads(out))


def _post(port: int, path: str, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{port}/v1/{path}"
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked) as answer:
        answer.read()


def _cpu(process: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main("serve", measure)
