"""What a benchmark reports: lines with a target each, the raw figures and the machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PACKAGES = (
    "retro-cli",
    "numpy",
    "faiss-cpu",
    "onnxruntime",
    "pyarrow",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)


@dataclass(frozen=True)
class Line:
    """One line of the README's table.

    what:     what was measured
    target:   in words, with ``value`` at least (or at most) ``limit``
    measured: value and absolute figures, in words
    sides:    the raw figures of each side, by name; the unit is in the name
    """

    what: str
    target: str
    measured: str
    value: float
    limit: float
    at_least: bool
    sides: dict[str, list[float]] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def to_json(self) -> dict[str, Any]:
        medians = {name: statistics.median(values) for name, values in self.sides.items() if values}
        return {**asdict(self), "medians": medians, "met": self.met}


@dataclass(frozen=True)
class Result:
    """Everything that one module measured. ``facts``: corpus sizes and what else shaped it."""

    name: str
    lines: list[Line]
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, quick: bool) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        value = {
            "benchmark": self.name,
            "quick": quick,
            "lines": [line.to_json() for line in self.lines],
            "facts": self.facts,
            "machine": machine(),
        }
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return path


def machine() -> dict[str, Any]:
    """What the figures depend on: no host names, no dates."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _cpu() -> str:
    """The model, and which vector instructions of note it has: they decide about int8."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    facts = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    values = {name.strip(): value.strip() for name, value in facts.items()}
    flags = set(values.get("flags", "").split())
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if flag in flags]
    return " ".join([values.get("model name", platform.processor()), *known])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
