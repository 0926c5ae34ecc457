"""The page of language-model results is made from what ``retro eval lm --json`` and a run wrote."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers import write_jsonl

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import ask_page
import curves
import encoder_page
import held_out
import nearest_page
import results_page


def estimate(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "documents": 3}


def part(on):
    bpb = {"on": estimate(on), "shuffled": estimate(on + 0.02), "off": estimate(on + 0.05)}
    differences = {"on - shuffled": estimate(-0.02), "on - off": estimate(-0.05)}
    return {"bpb": bpb, "differences": differences, "chunks": 40, "bytes": 900}


def nothing():
    """As ``retro eval lm`` writes the row of no chunk."""
    none = {"value": None, "low": None, "high": None, "documents": 0}
    every = part(1.0)
    return {
        "bpb": dict.fromkeys(every["bpb"], none),
        "differences": dict.fromkeys(every["differences"], none),
        "chunks": 0,
        "bytes": 0,
    }


EVALUATION = {
    **part(1.0),
    "leakage": [
        {"alpha": 0.0, **nothing()},
        {"alpha": None, **part(1.1)},
        {"alpha": 0.25, **part(1.05)},
        {"alpha": 1.0, **part(1.0)},
    ],
    "neighbours": [
        {"k": 1, **estimate(0.99), "against_on": estimate(0.03)},
        {"k": 2, **estimate(0.98), "against_on": None},
    ],
    "shares": [{"percent": p, **estimate(1 - p / 1000)} for p in (1.0, 100.0)],
}


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run" / "fitted"
    run.mkdir(parents=True)
    settings = {"steps": 3, "echoes": 0.25}
    record = {"settings": settings, "made_from": {"database": "peps.db"}}
    (run / "training.json").write_text(json.dumps(record))
    lines = [
        json.dumps({"step": step, "loss": 3.0 - step, "tokens": 100, "seconds": 2.0})
        for step in range(3)
    ]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "run" / "fitted-peps.json").write_text(json.dumps(EVALUATION))
    return tmp_path / "run"


def test_every_estimate_that_was_measured_is_on_the_page(folder):
    found = results_page.tables(results_page.take(folder))
    assert "| 3 | 300 | 25% |" in found["trainings"]
    assert "-0.0200 (-0.0300 to -0.0100)" in found["main"]
    assert found["main"].count("PEPs, under 8 shared") == 1
    assert "at most 0.25" in found["overlap"]
    assert "| 0.9900, +0.0300 (+0.0200 to +0.0400) | 0.9800 |" in found["neighbours"]
    assert "](results/fitted-peps-neighbours.svg)" in found["neighbours"]
    assert "Not measured" not in found["neighbours"]
    assert "| 1 % | 100 % |" in found["shares"]
    assert "](results/fitted-peps-shares.svg)" in found["shares"]


def test_what_a_measurement_lacks_is_said(folder):
    found = results_page.take(folder)
    shares = results_page.tables(found)["shares"]
    assert "| 0.9990 | 0.9000 |" in shares
    missing = "Not measured for fitted, SmolLM2-135M-Instruct on PEPs: "
    assert f"{missing}paired differences" in shares
    found["evaluations"]["fitted-peps"]["shares"] = []
    assert f"{missing}this curve (`retro eval lm --shares`)" in results_page.tables(found)["shares"]
    assert "fitted-peps-shares.svg" not in results_page.plots(found)


def test_the_page_is_in_step_only_after_it_was_written(folder, tmp_path, monkeypatch):
    docs = tmp_path / "docs"
    docs.mkdir()
    names = ("trainings", "main", "overlap", "neighbours", "shares", "machine")
    page = "\n".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->" for name in names)
    (docs / "results.md").write_text(page)
    monkeypatch.setattr(results_page, "DOCS", docs)
    monkeypatch.setattr(results_page, "PAGE", docs / "results.md")
    monkeypatch.setattr(results_page, "RESULTS", tmp_path / "lm.json")
    monkeypatch.setattr(results_page, "NEAREST", tmp_path / "nearest.json")
    monkeypatch.setattr(results_page, "SECTIONS", {})

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["results_page.py", *options])
        return results_page.main()

    assert run("--take", str(folder), "--check") == 1
    assert (docs / "results.md").read_text() == page
    assert run() == 0
    assert run("--check") == 0
    assert {path.name for path in (docs / "results").iterdir()} == {
        "fitted-peps-overlap.svg",
        "fitted-peps-neighbours.svg",
        "fitted-peps-shares.svg",
        "fitted-loss.svg",
    }
    (docs / "results" / "fitted-loss.svg").write_text("")
    assert run("--check") == 1


def test_what_was_measured_of_single_tokens_is_on_the_page(tmp_path):
    value = {**estimate(1.25), "difference": estimate(-0.04)}
    machine = results_page.machine()
    rows = {"0.25": value, "0": {**estimate(1.5), "difference": estimate(0.0)}}
    body = {name: {**estimate(1.7), "difference": estimate(-0.02)} for name in rows}
    knn = {
        "bpb": rows, "body": body, "body_bytes": 66,
        "tokens": 1234, "documents": 3, "held": 2, "bytes": 99, "datastore_seconds": 7,
        "datastore_bytes": 5_000_000, "factory": "IVF1,SQfp16", "recall": 1.0, "machine": machine,
        "votes": {"k": 64, "temperature": 1.0},
    }  # fmt: skip
    memory = {
        "bpb": dict.fromkeys(("on", "off", "other", "base"), value), "gates": [0.1, 0.4],
        "windows": 9, "window": 512, "layer": 22, "train_seconds": 60, "held": 2,
        "tokens_each": 77, "machine": machine, "on_less_other": estimate(-0.003),
    }  # fmt: skip
    for name, found in (("knn", knn), ("memory", memory)):
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    drawn = nearest_page.tables(nearest_page.take(tmp_path))
    assert "| 0 | 1.5000 | +0.0000 (-0.0100 to +0.0100) | 1.7000 | -0.0200" in drawn["knn"]
    assert "33.3% of the bytes are left out" in drawn["knn"]
    assert "another chapter: -0.0030 (-0.0130 to +0.0070)" in drawn["remembering"]
    assert drawn["knn"].index("| 0 |") < drawn["knn"].index("| 0.25 |")
    assert "1,234 tokens of 3 PEPs" in drawn["knn"]
    assert drawn["remembering"].count("| 1.2500 | -0.0400") == 4
    assert "between 0.10 and 0.40" in drawn["remembering"]
    del knn["body"], memory["on_less_other"]
    older = nearest_page.tables({"knn": knn, "memory": memory})
    assert "| 0 | 1.5000 | +0.0000 (-0.0100 to +0.0100) |\n" in older["knn"]
    assert "left out" not in older["knn"]
    assert "less another" not in older["remembering"]


def test_what_the_command_writes_makes_a_page(tmp_path, retro, db, bpe_path):
    from generate_helpers import speaking

    speaking(8).save_pretrained(tmp_path / "m")
    shutil.copy(bpe_path, tmp_path / "m" / "tokenizer.json")
    texts = [
        {"id": f"t{n}", "text": f"the keeper of the light {n} rowed out to the boat " * 3}
        for n in range(3)
    ]
    write_jsonl(tmp_path / "held.jsonl", texts)
    measured = retro(
        "eval", "lm", "m", db, "--text", "held.jsonl", "--neighbours", "1,2", "--shares", "50,100",
        "--json",
    )  # fmt: skip
    assert measured.code == 0, measured.err
    machine = results_page.machine()
    found = {"trainings": {}, "evaluations": {"fitted-peps": measured.rows[0]}, "machine": machine}
    tables = results_page.tables(found)
    assert f"{measured.rows[0]['bpb']['on']['value']:.4f}" in tables["main"]
    assert set(results_page.plots(found)) == {
        f"fitted-peps-{what}.svg" for what in ("overlap", "neighbours", "shares")
    }
    assert "Not measured" not in tables["neighbours"] + tables["shares"]


def test_a_curve_stays_on_the_paper_and_its_name_on_none_other():
    points = [(0.0, 1.0, 0.9, 1.1), (1.0, 2.0, 1.9, 2.1)]
    drawn = curves.chart([curves.Curve(name, points) for name in ("a", "b", "c")], "x", "y")
    tree = ElementTree.fromstring(drawn)
    lines = [each.get("points").split() for each in tree if each.tag.endswith("polyline")]
    assert len(lines) == 3
    for x, y in (map(float, point.split(",")) for line in lines for point in line):
        assert 0 <= x <= curves.WIDTH
        assert 0 <= y <= curves.HEIGHT
    names = {e.text: float(e.get("y")) for e in tree if e.text in ("a", "b", "c")}
    assert len(names) == 3
    assert min(abs(p - q) for n, p in names.items() for m, q in names.items() if n != m) >= 12


def test_one_document_in_ten_is_held_out_whatever_the_order():
    names = [f"pep-{number:04d}" for number in range(3000)]
    held = {name for name in names if held_out.is_held_out(name)}
    assert 0.08 < len(held) / len(names) < 0.12
    assert {name for name in reversed(names) if held_out.is_held_out(name)} == held


def test_what_an_encoder_gains_is_on_the_page_as_it_was_measured():
    gain = {"value": 0.02, "low": -0.004, "high": 0.036}
    before = {"value": 0.894, "low": 0.872, "high": 0.915}
    found = {
        "hits": {"before": before, "after": before, "gain": gain},
        "k": 5,
        "questions": {"held_out": 952, "learned_from": 3594},
        "settings": {"steps": 100, "batch": 16},
        "machine": results_page.machine(),
    }
    assert "| +0.020 (-0.004 to +0.036) |" in encoder_page.render(found)
    assert "| 952 | 3,594 | 100 | 0.894 (0.872 to 0.915) |" in encoder_page.render(found)


def test_the_answers_page_has_a_row_a_measure_and_hides_what_nobody_measured():
    none = {"value": None, "low": None, "high": None, "documents": 0}
    measures = {
        "right": estimate(0.5),
        "bits per byte": none,
        "quotes verbatim": {**none, "value": 1},
    }
    closed = {"right": estimate(0.1), "bits per byte": none, "quotes verbatim": none}
    change = {"question": "a | b?", "before": "old", "after": "new", "filtered": ""}
    line = {"what": "w", "target": "t", "measured": "m", "met": False}
    facts = {
        "report": {"measured": {"reader": measures, "closed-book": closed}},
        "updates": [change],
    }
    text = ask_page.table({"lines": [line], "facts": facts})
    assert "| right | 0.50 (0.49 to 0.51) | 0.10 (0.09 to 0.11) |" in text
    assert "| quotes verbatim | 1.00 | - |" in text
    assert "bits per byte" not in text
    assert "| a \\| b? | old | new | (refused) |" in text
    assert "**missed**" in text
