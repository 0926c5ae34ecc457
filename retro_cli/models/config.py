"""The shape of a RETRO model: the base model's configuration and what is added to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from retro_cli.errors import UsageError

FROM_SCRATCH = "from_scratch"
FITTED = "fitted"
ALL_WEIGHTS = "all"
ADDED_WEIGHTS = "added"
SHARED = "shared"
LATE = "late"
OWN = "own"


def every_third_from_sixth(layers: int) -> list[int]:
    """The paper's CCA layers, counted from 1: 6, 9, 12, ...; a shallower model gets its last."""
    return list(range(6, layers + 1, 3)) or [layers]


def late(layers: int) -> list[int]:
    """Four CCA layers in the last third, closer towards the end: cheap to fit around a frozen
    base, since no gradient goes below the first of them."""
    return sorted({max(1, round(layers * share)) for share in (2 / 3, 4 / 5, 13 / 15, 14 / 15)})


class RetroConfig(PretrainedConfig):  # type: ignore[misc]
    """Everything a RETRO model's shape depends on. Layers are counted from 1, as in the paper.

    base_config: the causal language model's own configuration, or its dictionary.
    chunk_length: m, tokens in a chunk (64). neighbours: k in training; any k works afterwards.
    retrieved_length: r, the longest neighbour with its continuation, in tokens (2m).
    cca_layers: the layers with cross-attention; every third from the sixth (section 4.1), or
    "late", see there.
    cca_heads: heads of the cross-attention; the base's. Each is width / heads wide.
    encoder_width, encoder_layers, encoder_heads, encoder_cross_layers: the neighbour encoder
    (896, 2, 14, [1] suit the paper); a head is encoder_width / encoder_heads wide.
    encoder_embeddings: "shared" reads the base's input embeddings, "own" learns a second table.
    origin: "fitted" when the base was pretrained, "from_scratch" when it was not.
    frozen: whether the base's weights stay as they are in training.
    zero_gate: the cross-attention's output projection starts at zero, so that a fresh model
    equals its base; by default that of fitted models.
    seed: of the initial weights. weights: what a saved folder holds, "all" or "added".
    base_name, base_hash: which base "added" weights belong to, and its ``weights_hash``.
    Raises UsageError for numbers that fit no model.
    """

    model_type = "retro"
    sub_configs = {"base_config": AutoConfig}  # noqa: RUF012 (the name and type transformers reads)

    def __init__(
        self,
        base_config: PretrainedConfig | Mapping[str, Any] | None = None,
        *,
        chunk_length: int = 64,
        neighbours: int = 2,
        retrieved_length: int | None = None,
        cca_layers: Sequence[int] | str | None = None,
        cca_heads: int | None = None,
        encoder_width: int = 896,
        encoder_layers: int = 2,
        encoder_heads: int = 14,
        encoder_cross_layers: Sequence[int] = (1,),
        encoder_embeddings: str = SHARED,
        origin: str = FITTED,
        frozen: bool = False,
        zero_gate: bool | None = None,
        seed: int = 0,
        weights: str = ALL_WEIGHTS,
        base_name: str = "",
        base_hash: str = "",
        **rest: Any,
    ) -> None:
        self.base_config = base = _base(base_config)
        layers = base.num_hidden_layers
        self.chunk_length = chunk_length
        self.neighbours = neighbours
        self.retrieved_length = 2 * chunk_length if retrieved_length is None else retrieved_length
        if cca_layers is None:
            cca_layers = every_third_from_sixth(layers)
        if isinstance(cca_layers, str):
            _one_of("cca_layers", cca_layers, (LATE,))
            cca_layers = late(layers)
        self.cca_layers = list(cca_layers)
        self.cca_heads = cca_heads or base.num_attention_heads
        self.encoder_width = encoder_width
        self.encoder_layers = encoder_layers
        self.encoder_heads = encoder_heads
        self.encoder_cross_layers = list(encoder_cross_layers)
        self.encoder_embeddings = encoder_embeddings
        self.origin = origin
        self.frozen = frozen
        self.zero_gate = origin == FITTED if zero_gate is None else zero_gate
        self.seed = seed
        self.weights = weights
        self.base_name = base_name
        self.base_hash = base_hash
        # Generation reads these from the outer configuration, so they are the base's.
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            rest.setdefault(name, getattr(base, name, None))
        # The constructor hands this on to the base, whose own choice it must not undo.
        rest.setdefault("attn_implementation", base._attn_implementation)
        rest.setdefault("tie_word_embeddings", False)  # the base ties its own
        super().__init__(**rest)
        self._check()

    @property
    def vocab_size(self) -> int:
        return int(self.base_config.vocab_size)

    @property
    def hidden_size(self) -> int:
        return int(self.base_config.hidden_size)

    @property
    def num_hidden_layers(self) -> int:
        return int(self.base_config.num_hidden_layers)

    def get_text_config(self, *_: Any, **__: Any) -> PretrainedConfig:
        """The base's configuration: caches are made to its layers."""
        return self.base_config

    def _check(self) -> None:
        _positive(
            chunk_length=self.chunk_length, neighbours=self.neighbours,
            retrieved_length=self.retrieved_length, cca_heads=self.cca_heads,
            encoder_width=self.encoder_width, encoder_layers=self.encoder_layers,
            encoder_heads=self.encoder_heads,
        )  # fmt: skip
        _inside("cca_layers", self.cca_layers, self.num_hidden_layers)
        _inside("encoder_cross_layers", self.encoder_cross_layers, self.encoder_layers)
        _divides("cca_heads", self.cca_heads, self.hidden_size)
        _divides("encoder_heads", self.encoder_heads, self.encoder_width)
        _one_of("encoder_embeddings", self.encoder_embeddings, (SHARED, OWN))
        _one_of("origin", self.origin, (FITTED, FROM_SCRATCH))
        _one_of("weights", self.weights, (ALL_WEIGHTS, ADDED_WEIGHTS))


def _base(config: PretrainedConfig | Mapping[str, Any] | None) -> PretrainedConfig:
    if config is None:  # transformers compares a configuration with the default one of its class
        return AutoConfig.for_model("llama")
    if isinstance(config, Mapping):
        fields = dict(config)
        return AutoConfig.for_model(fields.pop("model_type"), **fields)
    return config


def _positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise UsageError(f"{name} is {number}", "it counts something: at least 1")


def _inside(name: str, chosen: list[int], layers: int) -> None:
    if not chosen or chosen != sorted(set(chosen)) or not 1 <= chosen[0] <= chosen[-1] <= layers:
        raise UsageError(
            f"{name} are {chosen}", f"choose layers from 1 to {layers}, rising, each once"
        )


def _divides(name: str, heads: int, width: int) -> None:
    if width % heads:
        raise UsageError(f"{name} = {heads} does not divide the width {width}", "")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is {value!r}", f"one of {', '.join(allowed)}")
