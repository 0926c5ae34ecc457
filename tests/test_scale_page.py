"""The page of sizes: what it computes is what the plan's functions give, from what was measured."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import scale
import scale_page

from retro_cli.index.plan import plan_index
from retro_cli.planning import estimate, rows_of

PAGE = scale_page.PAGE.read_text(encoding="utf-8")


def row(table: str, name: str) -> list[str]:
    """The cells of the row that begins with a name."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def stage(seconds, own_bytes, **report):
    return {"seconds": seconds, "own_bytes": own_bytes, "report": report, "done": True}


def notes(rows, seconds):
    """What the benchmark notes of one database."""
    quality = {
        "rows": rows, "segments": 3, "factory": "IVF8192,SQ8", "nprobe": 500,
        "quality_recall": 0.96, "quality_low": 0.951, "quality_high": 0.97,
        "latency_ms_p50": 40.0, "latency_ms_p95": 60.0,
    }  # fmt: skip
    night = {
        f"{what}: {command}": stage(1.0, 1e8)
        for what in ("added", "edited")
        for command in ("chunk", "embed", "index")
    }
    return {
        "chunk": stage(seconds, 2e8, tokens_written=rows * 63, docs_written=rows // 17),
        "embed": stage(seconds, 2e8),
        "index, vectors": stage(2 * seconds, 1.5e9, **quality),
        "index, words": stage(seconds, 3e8),
        "disk": {"bytes": {"chunks": 200 * rows, "embeddings": 512 * rows, "index": 264 * rows}},
        "query": {"off the disk, s": 2.0, "dense, s": [0.5], "hybrid, s": [0.7], "own_bytes": 1e8},
        **night,
    }


@pytest.fixture
def planned(retro, static_encoder):
    """What ``retro plan --json`` prints."""
    return retro("plan", "630M", "--encoder", static_encoder, "--json").rows[0]


@pytest.fixture
def result(planned):
    found = {"1000000": notes(1_000_000, 50.0), "10000000": notes(10_000_000, 500.0)}
    machine = {
        "cores": 2,
        "cpu": "x",
        "memory_gb": 25,
        "system": "s",
        "python": "3",
        "packages": {},
    }
    return {"facts": {"sizes": found, "plan": planned}, "machine": machine}


def test_the_page_is_in_step(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scale_page.py", "--check"])
    assert scale_page.main() == 0


def test_a_page_out_of_step_is_told_and_written_anew(monkeypatch, tmp_path):
    stale = tmp_path / "scale.md"
    stale.write_text(PAGE.replace("IVF16384_HNSW32", "IVF4"), encoding="utf-8")
    command = ["scale_page.py", "--page", str(stale)]
    monkeypatch.setattr(sys, "argv", [*command, "--check"])
    assert scale_page.main() == 1
    monkeypatch.setattr(sys, "argv", command)
    assert scale_page.main() == 0
    assert stale.read_text(encoding="utf-8") == PAGE


def test_the_sizes_are_those_of_the_papers_and_the_bytes_those_of_the_plan(planned, result):
    table = scale_page.arithmetic()
    assert row(table, "chunks")[2:] == ["66M", "3.6B", "28B"]
    machine = scale_page.probed(result["facts"])
    for at, tokens in enumerate(scale_page.SIZES.values(), 2):
        plan = estimate(tokens, 256, machine, memory_bytes=4 * 10**9)
        for name, cost in zip(("chunks on disk", "vectors, wordllama"), plan.costs, strict=False):
            assert row(table, name)[at] == scale_page._size(cost.disk)
        assert row(table, "index within `--memory 4`")[at].startswith(plan.index.factory + ", ")
        large = plan_index(plan.rows, 256, 10**15)
        assert row(table, "index with memory to spare")[at].startswith(large.factory + ", ")


def test_a_plan_is_found_again_from_what_the_command_printed(planned, result):
    machine = scale_page.probed(result["facts"])
    again = estimate(planned["tokens"], planned["dim"], machine, memory_bytes=4 * 10**9)
    printed = [(cost["stage"], cost["seconds"], cost["disk"]) for cost in planned["costs"]]
    assert [(cost.stage, cost.seconds, cost.disk) for cost in again.costs] == printed
    assert again.rows == planned["rows"]
    assert json.loads(json.dumps(planned["probe"]))["seconds"] > 0


def test_times_grow_from_the_measured_ones(result):
    table = scale_page.times(result["facts"])
    share = scale_page.SIZES["RETRO"] / (10_000_000 * 63)
    assert row(table, "chunk, from the measured")[4] == scale_page._time(500.0 * share)
    machine = scale_page.probed(result["facts"])
    plan = estimate(scale_page.SIZES["Wikipedia"], 256, machine, memory_bytes=4 * 10**9)
    assert row(table, "index, vectors, by `retro plan`")[2] == scale_page._time(
        plan.costs[2].seconds
    )


def test_a_cluster_is_made_of_what_was_measured(result):
    table = scale_page.cluster(result["facts"])
    chunks = [rows_of(tokens) for tokens in scale_page.SIZES.values()]
    assert row(table, "shards")[2:] == [f"{math.ceil(count / 10_000_000):,}" for count in chunks]
    assert row(table, "machines")[2] == "1"
    assert row(table, "index in each one's memory")[2:4] == ["18.5 GB", "42.2 GB"]
    assert row(table, "work of a query")[2] == "0.28 s"


def test_growth_stands_beside_and_an_interruption_is_said(result):
    facts = result["facts"]
    table = scale_page.measured(facts)
    assert row(table, "chunk: time, own memory")[3] == "10.0x, 1.00x"
    assert "Interrupted" not in table
    facts["sizes"]["10000000"]["embed"]["resumed"] = True
    assert "the last run: embed." in scale_page.measured(facts)


def test_lines_are_met_or_missed_by_the_figures():
    small, large = notes(1_000_000, 50.0), notes(10_000_000, 500.0)
    assert all(line.met for line in scale.lines(small, large))
    large["embed"]["own_bytes"] = 3e8
    large["index, vectors"]["report"]["quality_low"] = 0.94
    missed = [line.what for line in scale.lines(small, large) if not line.met]
    assert len(missed) == 2
    assert "retro embed" in missed[0]
    assert "recall" in missed[1]


def test_a_benchmark_goes_on_where_it_was_stopped(tmp_path):
    build = scale.Build(tmp_path, 10, [])
    build.db.mkdir()
    assert build.once("a", lambda: {"seconds": 1}) == {"seconds": 1, "done": True}
    assert build.once("a", lambda: {"seconds": 2})["seconds"] == 1

    def killed():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.once("b", killed)
    assert build.once("b", lambda: {"seconds": 3}) == {"seconds": 3, "resumed": True, "done": True}
    build.db.rmdir()
    assert build.known() == {}
