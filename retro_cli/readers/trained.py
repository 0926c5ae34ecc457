"""What a model's folder says of how it was trained to read: the settings to read with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

RECORD = "training.json"  # of training, which comes later


@dataclass(frozen=True)
class TrainedTo:
    """objective: the reader whose loss it learned with. None and empty where nothing is said."""

    objective: str = ""
    k: int | None = None
    doc_temperature: float | None = None


def trained_to(model: str | Path | None) -> TrainedTo:
    """Of a folder that ``retro train-reader`` wrote; nothing of any other model."""
    if model is None:
        return TrainedTo()
    try:
        said = json.loads((Path(model).expanduser() / RECORD).read_bytes())["reader"]
        return TrainedTo(str(said["objective"]), int(said["k"]), float(said["doc_temperature"]))
    except (OSError, ValueError, TypeError, KeyError):
        return TrainedTo()
