"""The record of a run: one JSON line a step, and its loss as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from retro_cli.store.atomic import disk_errors, write_bytes

WIDTH, HEIGHT, MARGIN = 640, 320, 48


class Metrics:
    """``metrics.jsonl``: appended to as the run goes, cut back to where it resumes."""

    def __init__(self, path: Path, steps: int) -> None:
        """steps: how many of the steps on the disk are to stay."""
        self.path = path
        self.lines = [line for line in read_metrics(path) if line["step"] < steps]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, b"".join(map(_encoded, self.lines)))

    def append(self, **values: Any) -> None:
        self.lines.append(values)
        with disk_errors(self.path), self.path.open("ab") as file:
            file.write(_encoded(values))


def _encoded(line: dict[str, Any]) -> bytes:
    return (json.dumps(line) + "\n").encode()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file; none where there is no file."""
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def smoothed(losses: list[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average, without the pull of its first value."""
    result, mean, mass = [], 0.0, 0.0
    for loss in losses:
        mean, mass = weight * mean + (1 - weight) * loss, weight * mass + (1 - weight)
        result.append(mean / mass)
    return result


def loss_plot(losses: list[float], title: str) -> str:
    """An SVG with each step's loss as a dot and their moving average as a line."""
    if not losses:
        return ""
    low, high = min(losses), max(losses)
    span = (high - low) or 1.0

    def place(step: int, loss: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * step / max(1, len(losses) - 1)
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (loss - low) / span
        return f"{x:.1f},{y:.1f}"

    def words(x: float, y: float, text: str, anchor: str) -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'

    dots = "".join(
        '<circle cx="{}" cy="{}" r="1.5"/>'.format(*place(step, loss).split(","))
        for step, loss in enumerate(losses)
    )
    line = " ".join(place(step, loss) for step, loss in enumerate(smoothed(losses)))
    return "".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<g fill="#9bb4d0">{dots}</g>',
        f'<polyline points="{line}" fill="none" stroke="#1f4e8c" stroke-width="2"/>',
        '<g fill="#333">',
        words(MARGIN, MARGIN - 16, title, "start"),
        words(MARGIN - 6, HEIGHT - MARGIN, f"{low:.2f}", "end"),
        words(MARGIN - 6, MARGIN + 4, f"{high:.2f}", "end"),
        words(MARGIN, HEIGHT - MARGIN + 20, "step 1", "start"),
        words(WIDTH - MARGIN, HEIGHT - MARGIN + 20, f"step {len(losses)}", "end"),
        "</g></svg>\n",
    ])  # fmt: skip
