"""What was chosen when a database was created: ``retro.toml``, and its precedence.

A value comes from the flag, else the environment variable RETRO_<NAME> (both reach this module
as arguments), else ``retro.toml``, else the default below.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from retro_cli.errors import ConfigError
from retro_cli.store.atomic import write_bytes
from retro_cli.store.layout import FORMAT_VERSION, Layout

# Raised by one whenever the same input and settings would give other chunk bytes.
CHUNK_SCHEMA = 3

CUTS = ("word", "exact")
DEDUPS = ("none", "document", "chunk")
STEMMERS = (
    "none", "arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek",
    "hungarian", "italian", "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish",
    "tamil", "turkish",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The choices that shape a database; every stage reads them from here."""

    tokens: int = 64
    cut: str = "word"
    tokenizer: str = ""
    dedup: str = "document"
    text_field: str = ""
    id_field: str = ""
    title_field: str = ""
    source_field: str = ""
    with_title: bool = False
    encoding: str = "utf-8"
    input_format: str = ""
    encoder: str = "all-MiniLM-L6-v2"
    precision: str = "auto"
    keep_generations: int = 3
    stemmer: str = "english"
    words: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= 8192:
            raise ConfigError(f"a chunk of {self.tokens} tokens", "choose between 1 and 8192")
        if self.keep_generations < 1:
            raise ConfigError(f"{self.keep_generations} generations to keep", "keep 1 at the least")
        _one_of("cut", self.cut, CUTS)
        _one_of("dedup", self.dedup, DEDUPS)
        _one_of("stemmer", self.stemmer, STEMMERS)
        _one_of("precision", self.precision, ("auto", "fp32", "int8", "fp16"))

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer that chunks: the encoder's own unless another was named."""
        return self.tokenizer or self.encoder

    def chunk_fingerprint(self, tokenizer_sha256: str, reading: str) -> str:
        """Identifies everything but the input that shapes a chunk part's bytes.

        ``reading`` is the fingerprint of how records are read (``ReadOptions``).
        """
        return fingerprint([CHUNK_SCHEMA, tokenizer_sha256, reading, self.tokens, self.cut])

    def changed(self, **values: Any) -> Settings:
        """A copy with every value that is not None put in. Raises ConfigError."""
        given = {name: value for name, value in values.items() if value is not None}
        _check_known(given, "")
        return replace(self, **given)

    def beyond(self, other: Settings) -> dict[str, Any]:
        """The values that differ from those of ``other``, by name."""
        before = asdict(other)
        return {name: v for name, v in asdict(self).items() if v != before[name]}


def fingerprint(value: Any) -> str:
    """A sha256 (hex) over canonical JSON: equal values have equal fingerprints."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def load_settings(layout: Layout) -> Settings:
    """Read ``retro.toml``. Raises NotBuiltYet, ConfigError or DatabaseTooNew."""
    values = layout.require()
    _check_known(values, f"{layout.settings}: ")
    return Settings(**values)


def _check_known(values: dict[str, Any], where: str) -> None:
    known = {field.name: field for field in fields(Settings)}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}unknown setting '{name}'", f"known: {', '.join(known)}")
        expected = type(known[name].default)
        if type(value) is not expected:
            raise ConfigError(
                f"{where}{name} must be {expected.__name__}, not {value!r}",
                "correct the file by hand" if where else "retro.toml shows each setting's kind",
            )


def save_settings(layout: Layout, settings: Settings) -> None:
    lines = [f"format = {FORMAT_VERSION}"]
    lines += [f"{name} = {_toml(value)}" for name, value in asdict(settings).items()]
    text = "# Chosen when this database was created; `retro` keeps it.\n" + "\n".join(lines) + "\n"
    data = text.encode()
    if not layout.settings.is_file() or layout.settings.read_bytes() != data:
        write_bytes(layout.settings, data)


def _toml(value: Any) -> str:
    # TOML's basic strings are JSON's but for surrogate pairs, so nothing is escaped that need not
    # be, and DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} '{value}' is not known", f"choose one of {', '.join(choices)}")
