"""Write the tables and curves of docs/results.md from its results: lm, nearest and ask.

python benchmarks/results_page.py [--take DIR] [--take-nearest DIR] [--check]

--take first gathers lm.json from the folder in which the page's own commands were run, on the
machine that ran them, --take-nearest the other from that of ``nearest.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import ask_page
import encoder_page
import nearest_page
import retrieval_page
from curves import Curve, chart
from results import FOLDER, machine
from table import describe, insert

DOCS = Path(__file__).parent.parent / "docs"
PAGE, RESULTS = DOCS / "results.md", FOLDER / "lm.json"
NEAREST = FOLDER / "nearest.json"
# Sections of one table, by the name of their marks: what was measured, and what writes it.
SECTIONS = {
    "ask": (FOLDER / "ask.json", ask_page.table),
    "encoder": (FOLDER / "train_encoder.json", encoder_page.render),
    "retrieval": (FOLDER / "retrieval_quality.json", retrieval_page.render),
}
MODELS = {"fitted": "fitted, SmolLM2-135M-Instruct", "scratch": "from scratch"}
# A model may have been trained in parts, one folder each; the last is the one that is evaluated.
TRAININGS = {
    "first": "fitted, first part: PEPs",
    "fitted": "fitted, second part: PEPs and books",
    "scratch": "from scratch: PEPs and books",
}
SETS = {"peps": "PEPs", "books": "books"}
POINTS = 60  # of a loss curve
KINDS = ("on", "shuffled", "off")
DIFFERENCES = ("on - shuffled", "on - off")
CURVES = {  # what -> its key, how that is written, and what it is
    "neighbours": ("k", "{:,}", "neighbours"),
    "shares": ("percent", "{:g} %", "share of the database, in percent"),
}


def take(folder: Path) -> dict[str, Any]:
    """What a folder holds of trainings (MODEL/training.json) and evaluations (MODEL-SET.json)."""
    trainings = {
        name: _training(folder / name)
        for name in TRAININGS
        if (folder / name / "training.json").exists()
    }
    evaluations = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for name in MODELS
        for path in (folder / f"{name}-{text}.json" for text in SETS)
        if path.exists()
    }
    return {"trainings": trainings, "evaluations": evaluations, "machine": machine()}


def _training(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    if not steps:
        raise SystemExit(f"{folder} has no metrics: it was not trained to its end")
    width = -(-len(steps) // POINTS)
    groups = [steps[first : first + width] for first in range(0, len(steps), width)]
    return {
        "settings": record["settings"],
        "made_from": record["made_from"],
        "tokens": sum(step["tokens"] for step in steps),
        "seconds": round(sum(step["seconds"] for step in steps)),
        "losses": [
            [group[-1]["step"] + 1, round(sum(s["loss"] for s in group) / len(group), 4)]
            for group in groups
        ],
    }


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The text of each marked part of the page."""
    cases = [
        (name, MODELS[name.split("-")[0]], SETS[name.split("-")[1]], value)
        for name, value in found["evaluations"].items()
    ]
    return {
        "trainings": _trainings(found["trainings"]),
        "main": _main(cases),
        "overlap": "\n\n".join(_overlap(*case) for case in cases),
        **{what: _by(cases, what, key, form) for what, (key, form, _) in CURVES.items()},
        "machine": f"Measured on {describe(found['machine'])}.",
    }


def _trainings(found: dict[str, Any]) -> str:
    rows = []
    for name, value in found.items():
        settings, last = value["settings"], value["losses"][-1][1]
        rows.append([
            TRAININGS[name], f"{settings['steps']:,}", f"{value['tokens']:,}",
            f"{settings['echoes']:.0%}", f"{value['seconds'] / 60:.0f} min",
            f"{value['tokens'] / value['seconds']:,.0f}", f"{last:.3f}",
        ])  # fmt: skip
    head = ["model", "steps", "tokens", "echoes", "time", "tokens/s", "last loss"]
    return _table(head, rows)


def _main(cases: list[tuple[str, str, str, dict[str, Any]]]) -> str:
    head = ["model", "held out", "chunks", *KINDS, *DIFFERENCES]
    rows = []
    for _, model, text, value in cases:
        few = next(row for row in value["leakage"] if row["alpha"] is None)
        parts = (("all", value["chunks"], value), ("under 8 shared", few["chunks"], few))
        for label, chunks, part in parts:
            rows.append([
                model, f"{text}, {label}", f"{chunks:,}",
                *[_number(part["bpb"][kind]) for kind in KINDS],
                *[_signed(part["differences"][name]) for name in DIFFERENCES],
            ])  # fmt: skip
    return _table(head, rows)


def _overlap(name: str, model: str, text: str, value: dict[str, Any]) -> str:
    rows = [
        [
            "fewer than 8 tokens" if row["alpha"] is None else f"at most {row['alpha']:.3g}",
            f"{row['chunks']:,}",
            *[_number(row["bpb"][kind]) for kind in KINDS],
            _signed(row["differences"][DIFFERENCES[0]]),
        ]
        for row in value["leakage"]
    ]
    table = _table(["shared", "chunks", *KINDS, DIFFERENCES[0]], rows)
    return f"**{model}, {text}**\n\n![](results/{name}-overlap.svg)\n\n{table}"


def _by(cases: list[tuple[str, str, str, dict[str, Any]]], what: str, key: str, form: str) -> str:
    """Values, with their paired differences to "on" where these were measured, and the plots."""
    columns = sorted({row[key] for *_, value in cases for row in value[what]})
    rows, plotted = [], []
    lacking: dict[str, list[str]] = {}
    for name, model, text, value in cases:
        cells = {row[key]: _beside_on(row) for row in value[what]}
        rows.append([model, text, *[cells.get(column, "") for column in columns]])
        if value[what]:
            plotted.append(f"![{model}, {text}](results/{name}-{what}.svg)")
        if lack := _lack(what, value):
            lacking.setdefault(lack, []).append(f"{model} on {text}")
    table = _table(["model", "held out", *[form.format(column) for column in columns]], rows)
    said = [f"Not measured for {'; '.join(names)}: {lack}." for lack, names in lacking.items()]
    return "\n\n".join([table, "\n".join(plotted), *said]).strip()


def _beside_on(row: dict[str, Any]) -> str:
    against = row.get("against_on")
    return _number(row) if against is None else f"{_number(row)}, {_signed(against)}"


def _lack(what: str, value: dict[str, Any]) -> str:
    """What a measurement has to be made again for; "" if nothing."""
    if not value[what]:
        return f"this curve (`retro eval lm --{what}`)"
    if any("against_on" not in row for row in value[what]):
        return (
            "paired differences to `on`, which `retro eval lm` now gives; until then the plots "
            "show values, each with an interval of its own that is far wider than the differences"
        )
    return ""


def _number(estimate: dict[str, Any]) -> str:
    """Nothing was measured where there is no chunk."""
    return "-" if estimate["value"] is None else f"{estimate['value']:.4f}"


def _signed(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    if estimate["low"] is None:
        return f"{estimate['value']:+.4f}"
    return f"{estimate['value']:+.4f} ({estimate['low']:+.4f} to {estimate['high']:+.4f})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def plots(found: dict[str, Any]) -> dict[str, str]:
    """File name -> SVG."""
    drawn = {}
    for name, value in found["evaluations"].items():
        rows = [row for row in value["leakage"] if row["alpha"] is not None]
        curves = [
            Curve(kind, [_point(row["alpha"], row["bpb"][kind]) for row in rows if row["chunks"]])
            for kind in KINDS
        ]
        drawn[f"{name}-overlap.svg"] = chart(
            curves, "longest run shared with a neighbour, at most this share of the chunk",
            "bits per byte",
        )  # fmt: skip
        for what, (key, _, x_is) in CURVES.items():
            if value[what]:
                drawn[f"{name}-{what}.svg"] = _curve(value, what, key, x_is)
    for name, value in found["trainings"].items():
        points = [(float(step), loss, loss, loss) for step, loss in value["losses"]]
        drawn[f"{name}-loss.svg"] = chart([Curve("loss", points)], "step", "nats a token")
    return drawn


def _curve(value: dict[str, Any], what: str, key: str, x_is: str) -> str:
    """The differences to "on" if all were measured; it is 0 itself. Else the values."""
    zero = {"value": 0.0, "low": 0.0, "high": 0.0}
    paired = not _lack(what, value)
    points = [
        _point(row[key], (row["against_on"] or zero) if paired else row)
        for row in sorted(value[what], key=lambda row: row[key])
    ]
    y_is = "bits per byte more than on" if paired else "bits per byte"
    return chart([Curve("on" if not paired else "", points)], x_is, y_is)


def _point(x: float, estimate: dict[str, Any]) -> tuple[float, float, float, float]:
    """Without an interval, of one document say, a point alone."""
    value = estimate["value"]
    low, high = (value if estimate[end] is None else estimate[end] for end in ("low", "high"))
    return x, value, low, high


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the tables and curves of docs/results.md.")
    parser.add_argument("--take", type=Path, metavar="DIR", help="gather results/lm.json first")
    parser.add_argument("--take-nearest", type=Path, metavar="DIR", help="nearest.json likewise")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of step")
    given = parser.parse_args()
    if given.take:
        _write(RESULTS, take(given.take))
    if given.take_nearest:
        _write(NEAREST, nearest_page.take(given.take_nearest))
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    marked = tables(found)
    if NEAREST.exists():
        marked |= nearest_page.tables(json.loads(NEAREST.read_text(encoding="utf-8")))
    for name, (path, render) in SECTIONS.items():
        if path.exists():
            marked[name] = render(json.loads(path.read_text(encoding="utf-8")))
    for name, text in marked.items():
        page = insert(page, text, name)
    wanted = {PAGE: page, **{DOCS / "results" / name: svg for name, svg in plots(found).items()}}
    stale = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if given.check:
        for path in stale:
            print(f"{path} is out of step: run python benchmarks/results_page.py")
        return int(bool(stale))
    (DOCS / "results").mkdir(exist_ok=True)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
