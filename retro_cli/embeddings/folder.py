"""What a model folder holds: read from its own description, without loading anything.

Understood are sentence-transformers folders (``modules.json``), bare BERT folders
(``config.json``), static embeddings (one table and a tokenizer), and the layout of the
``wordllama`` package.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retro_cli.embeddings.bert_weights import architecture, is_plain_bert, read_config
from retro_cli.embeddings.weights import Weights
from retro_cli.errors import ConfigError

UNLIMITED = (1 << 31) - 1  # max_tokens of an encoder that reads texts of any length

STATIC_TABLES = ("embedding.weight", "embeddings")
_WORDLLAMA = ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json")
_DEFAULT_MAX_TOKENS = 512
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True)
class Description:
    """An encoder's properties, all but its name and the hashes; the fields are EncoderSpec's."""

    kind: str
    dim: int
    max_tokens: int
    pooling: str = "mean"
    query_prompt: str = ""
    document_prompt: str = ""
    architecture: str = ""


@dataclass(frozen=True)
class Module:
    """One step of a sentence-transformers pipeline: its class name and its folder."""

    name: str
    folder: Path


def describe(folder: Path) -> Description:
    """Find out what ``folder`` holds. Raises ConfigError or IntegrityError."""
    if (folder / _WORDLLAMA[0]).is_file():
        return _static(folder)
    modules = read_modules(folder)
    names = [module.name for module in modules if module.name != "Normalize"]
    if names == ["StaticEmbedding"] or (not names and _is_static(folder)):
        return _static(folder)
    if not modules and not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder} holds no encoder",
            "an encoder folder has a modules.json or a config.json, as sentence-transformers saves",
        )
    pooling = _pooling(modules)
    prompts = _prompts(folder)
    base = modules[0].folder if modules else folder
    config = read_config(base)
    if names in (["Transformer", "Pooling"], []) and _own_bert(base, config, pooling):
        return Description(
            kind="bert",
            dim=_integer(config, "hidden_size"),
            max_tokens=_max_tokens(base, config),
            pooling=pooling,
            query_prompt=prompts[0],
            document_prompt=prompts[1],
            architecture=architecture(config),
        )
    _require_safetensors(folder)
    return Description(
        kind="sentence-transformers",
        dim=_generic_dim(modules, config),
        max_tokens=_max_tokens(base, config),
        pooling=pooling,
        query_prompt=prompts[0],
        document_prompt=prompts[1],
    )


def read_modules(folder: Path) -> tuple[Module, ...]:
    """The steps in modules.json, or none if there is no such file. Raises ConfigError."""
    path = folder / "modules.json"
    if not path.is_file():
        return ()
    listed = _read_json(path)
    try:
        classes = [str(entry["type"]) for entry in listed]
        folders = [folder / str(entry["path"]) for entry in listed]
    except (TypeError, KeyError) as error:
        raise ConfigError(f"{path} does not list modules", "save the model again") from error
    for name, place in zip(classes, folders, strict=True):
        # Any other class would be code that came with the model.
        if not name.startswith("sentence_transformers.") or not _inside(place, folder):
            raise ConfigError(
                f"{path} asks for {name}, which is not part of sentence-transformers",
                "retro runs no code that comes with a model; choose another encoder",
            )
    names = [name.rsplit(".", 1)[1] for name in classes]
    return tuple(Module(*pair) for pair in zip(names, folders, strict=True))


def _inside(place: Path, folder: Path) -> bool:
    return Path(os.path.abspath(place)).is_relative_to(os.path.abspath(folder))


def weights_file(folder: Path) -> Path:
    """The safetensors file of a BERT or static folder. Raises ConfigError."""
    return _first_file(folder, _WORDLLAMA[0], "model.safetensors")


def tokenizer_file(folder: Path) -> Path:
    """The tokenizer.json of an encoder folder. Raises ConfigError."""
    return _first_file(folder, _WORDLLAMA[1], "tokenizer.json")


def base_folder(folder: Path) -> Path:
    """Where the first module, the one with weights and tokenizer, lies."""
    modules = read_modules(folder)
    return modules[0].folder if modules else folder


def _first_file(folder: Path, packaged: str, name: str) -> Path:
    candidates = [folder / packaged, base_folder(folder) / name, folder / name]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigError(
        f"{folder} has no {name}", "save the model with safetensors and a fast tokenizer"
    )


def _is_static(folder: Path) -> bool:
    if not (folder / "model.safetensors").is_file():
        return False
    return "embeddings" in Weights(folder / "model.safetensors")


def _static(folder: Path) -> Description:
    path = weights_file(folder)
    weights = Weights(path)
    tables = [name for name in weights.names if name in STATIC_TABLES]
    if len(tables) != 1 or len(weights.names) != 1 or len(weights.shape(tables[0])) != 2:
        raise ConfigError(
            f"{path} does not hold one table of token vectors",
            f"a static encoder has the single tensor {' or '.join(STATIC_TABLES)}",
        )
    return Description("static", weights.shape(tables[0])[1], UNLIMITED, architecture="static mean")


def _own_bert(base: Path, config: dict[str, Any], pooling: str) -> bool:
    """Whether retro's own forward passes give this model's vectors."""
    lower = _table(base / "sentence_bert_config.json").get("do_lower_case", False)
    files = (base / "model.safetensors").is_file() and (base / "tokenizer.json").is_file()
    plain = is_plain_bert(config) and pooling in ("mean", "cls") and not lower
    return (
        files
        and plain
        and "embeddings.word_embeddings.weight" in Weights(base / "model.safetensors")
    )


def _pooling(modules: tuple[Module, ...]) -> str:
    """The pooling mode; "mean" where nothing is said, as in sentence-transformers."""
    config: dict[str, Any] = {}
    for module in modules:
        if module.name == "Pooling":
            config = _table(module.folder / "config.json")
    if isinstance(config.get("pooling_mode"), str):
        chosen = [config["pooling_mode"]]
    else:
        chosen = [
            key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
            for key, value in config.items()
            if key.startswith("pooling_mode_") and value is True
        ]
    mode = "+".join(chosen) or "mean"
    return mode if config.get("include_prompt", True) else f"{mode} without prompt"


def _prompts(folder: Path) -> tuple[str, str]:
    """The prompts for queries and for documents."""
    config = _table(folder / "config_sentence_transformers.json")
    prompts = config.get("prompts")
    if not isinstance(prompts, dict):
        return "", ""
    default = prompts.get(config.get("default_prompt_name"), "")
    document = next((prompts[name] for name in _DOCUMENT_PROMPTS if prompts.get(name)), default)
    return str(prompts.get("query") or default), str(document)


def _max_tokens(base: Path, config: dict[str, Any]) -> int:
    """What was saved with the model, within what its positions allow."""
    limits = [
        _table(base / "sentence_bert_config.json").get("max_seq_length"),
        _table(base / "tokenizer_config.json").get("model_max_length"),
        config.get("max_position_embeddings"),
    ]
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and limit > 0]
    return min(known, default=_DEFAULT_MAX_TOKENS)


def _generic_dim(modules: tuple[Module, ...], config: dict[str, Any]) -> int:
    """The width of the last step that names one."""
    for module in reversed(modules):
        own = _table(module.folder / "config.json")
        for key in ("out_features", "embedding_dimension", "word_embedding_dimension"):
            if isinstance(own.get(key), int):
                return int(own[key])
    return _integer(config, "hidden_size")


def _integer(config: dict[str, Any], key: str) -> int:
    if not isinstance(config.get(key), int):
        raise ConfigError(f"the model's config.json does not name {key}", "save the model again")
    return int(config[key])


def _require_safetensors(folder: Path) -> None:
    if not any(folder.rglob("*.safetensors")):
        raise ConfigError(
            f"{folder} has no safetensors weights",
            "save the model with safe_serialization=True; retro reads no pickled weights",
        )


def _table(path: Path) -> dict[str, Any]:
    value = _read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error})", "save the model again") from error
