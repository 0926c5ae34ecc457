"""Make a fitted model small enough to ship: the added weights alone, in bfloat16.

python benchmarks/ship_model.py MODEL retro_cli/models/data/NAME

The tokenizer is the base's, which is found by its name. Prints the sha256 that
``retro_cli/models/shipped.py`` pins.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from measure import say
from safetensors.torch import load_file, save_file

from retro_cli.store.atomic import file_sha256

WEIGHTS, CONFIG = "model.safetensors", "config.json"
MOST = 40_000_000  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a fitted model small enough to ship.")
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    config = json.loads((given.model / CONFIG).read_text(encoding="utf-8"))
    if config["weights"] != "added" or "/" in config["base_name"]:
        raise SystemExit("only added weights around a base that goes by a name can ship")
    for fields in (config, config["base_config"]):
        for private in ("_name_or_path", "name_or_path"):
            fields.pop(private, None)
    weights = load_file(given.model / WEIGHTS)
    given.out.mkdir(parents=True, exist_ok=True)
    half = {name: weight.to(torch.bfloat16) for name, weight in weights.items()}
    save_file(half, given.out / WEIGHTS, metadata={"format": "pt"})
    text = json.dumps(config, indent=1, sort_keys=True) + "\n"
    (given.out / CONFIG).write_text(text, encoding="utf-8")
    size = (given.out / WEIGHTS).stat().st_size
    say(f"{given.out}: {size / 1e6:.1f} MB, sha256 {file_sha256(given.out / WEIGHTS)}")
    if size > MOST:
        raise SystemExit(f"more than {MOST / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
