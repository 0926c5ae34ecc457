"""RETRO around any supported causal language model, for training from scratch and for fitting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from retro_cli.models import saving
from retro_cli.models.added import AddedParts
from retro_cli.models.attention import RelativeAttention
from retro_cli.models.base import portable_name
from retro_cli.models.config import ADDED_WEIGHTS, FITTED, FROM_SCRATCH, RetroConfig
from retro_cli.models.families import family
from retro_cli.models.loss import summed_nats
from retro_cli.models.mass import AttentionMass
from retro_cli.models.passes import DecodingState, Pass, begin_pass
from retro_cli.models.quiet import without_bars

Tensor = Any
INITIAL_SCALE = 0.02


class RetroForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A causal language model whose chosen layers read retrieved neighbours.

    ``backbone`` is the base model as transformers made it, ``added`` what is trained beside it;
    the two may have different dtypes. Chunked cross-attention comes between the self-attention
    and the feed-forward of the chosen layers; in a GPT-NeoX layer with parallel branches it is
    added beside the feed-forward.
    """

    config_class = RetroConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _no_split_modules: list[str] = []  # noqa: RUF012 (the name and type transformers reads)

    def __init__(self, config: RetroConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        family(config.base_config.model_type)
        if backbone is None:
            backbone = AutoModelForCausalLM.from_config(config.base_config)
        else:
            for module in backbone.modules():
                module._is_hf_initialized = True  # its weights are settled
        self.backbone = backbone
        self.added = AddedParts(config)
        self.added.attach(backbone, config.cca_layers)
        self.post_init()

    @classmethod
    def from_base(
        cls, base: PreTrainedModel | str | Path, config: RetroConfig | None = None, *,
        freeze: bool = True, **settings: Any,
    ) -> RetroForCausalLM:  # fmt: skip
        """RETRO-fitting (section 4.3): a pretrained model, frozen, and fresh RETRO parts.

        base: a causal language model, which is wrapped and not copied, a folder of one, or a name
        that ``find_base`` knows.
        config, or settings of RetroConfig: its base_config is replaced by the base's.
        """
        model = saving.load_base(base) if isinstance(base, (str, Path)) else base
        family(model.config.model_type)
        if config is None:
            config = RetroConfig(model.config, **{"origin": FITTED, **settings})
        model.config.dtype = model.dtype  # of the weights that are hashed
        config.base_config = model.config
        config.base_name = config.base_name or portable_name(model.config.name_or_path or "")
        config.base_hash = saving.weights_hash(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            retro: RetroForCausalLM = cls(config, model)
        retro.to(model.device)
        retro.config.frozen = freeze
        retro.backbone.requires_grad_(not freeze)
        retro.eval()
        return retro

    @classmethod
    def from_config(
        cls, config: RetroConfig | PretrainedConfig, **settings: Any
    ) -> RetroForCausalLM:
        """RETRO from scratch: random weights from the config's seed, on the CPU.

        config: a RetroConfig, or a base model's configuration with settings of RetroConfig.
        """
        if not isinstance(config, RetroConfig):
            config = RetroConfig(config, **{"origin": FROM_SCRATCH, **settings})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            retro: RetroForCausalLM = cls(config)
        retro.eval()
        return retro

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *args: Any, base: PreTrainedModel | str | Path | None = None,
        **settings: Any,
    ) -> RetroForCausalLM:  # fmt: skip
        """A saved model. Of a folder with added weights only, its base is loaded too.

        base: where that base is now, if not where it was (one that came by name is found by its
        name), or the base itself. dtype: for all weights, once the base's are found to be the
        right ones. Nothing is fetched from a network unless local_files_only=False is passed.
        Raises InputNotFound, IntegrityError (weights missing or damaged), UsageError (another
        base), MissingExtra (the package of a base that came by name).
        """
        path, config = saving.checked_folder(folder)
        if config.weights == ADDED_WEIGHTS:
            dtype = settings.pop("dtype", None)
            backbone = saving.matching_base(config, base, **saving.of_base(settings))
            model: RetroForCausalLM = cls(config, backbone)
            saving.load_added(model, path)
            if dtype not in (None, "auto"):
                saving.cast_weights(model, dtype)
            return model
        with saving.damage_told(path), without_bars():
            whole: RetroForCausalLM
            whole, report = super().from_pretrained(
                str(path), *args, output_loading_info=True, **saving.local(settings)
            )
        saving.check_nothing_missing(path, report["missing_keys"])
        whole.backbone.requires_grad_(not config.frozen)
        return whole

    def save_pretrained(
        self, save_directory: str | Path, *args: Any, added_only: bool = False, **settings: Any
    ) -> None:
        """Write config.json and model.safetensors; with added_only, without the backbone."""
        if added_only:
            saving.save_added(self, Path(save_directory))
        else:
            with without_bars():
                super().save_pretrained(save_directory, *args, **settings)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        neighbour_ids: Tensor | None = None,
        neighbour_mask: Tensor | None = None,
        chunk_offset: Tensor | int = 0,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        logits_to_keep: Tensor | int = 0,
        summed: bool = False,
        **rest: Any,
    ) -> Any:
        """What the backbone returns: loss, logits, past_key_values.

        input_ids: (batch, tokens). attention_mask: (batch, past + tokens), padding on the left,
        the right or both. labels: (batch, tokens), -100 is not scored.
        neighbour_ids: (batch, chunks, k, r) int64, RET(C_u) of the rows' chunks from the first,
        as token ids, padded with -1 or masked. None turns retrieval off. A chunk beyond the
        table has no neighbours. neighbour_mask: the same shape, nonzero for tokens that exist.
        chunk_offset: the chunk position of the first real token, one number or (batch,). With
        (-length) % m the prompt ends a chunk and reads its neighbours at once, as if padded on
        the left. With a KV cache, pass neighbours whenever a chunk ends, in every call the table
        of all chunks so far (from the first call on, if only a table of no chunks).
        summed: the loss is the sum over the labels in nats, and there are no logits: for training,
        since a large vocabulary's logits cost more memory than all else.
        The others, and rest, are the backbone's; generate looks for their names here.
        Raises UsageError for shapes that do not fit.
        """
        if use_cache is None:
            use_cache = bool(self.config.base_config.use_cache) and not self.training
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config.base_config)
        this: Pass | None = None
        if neighbour_ids is not None:
            tokens = input_ids if input_ids is not None else inputs_embeds
            this = begin_pass(
                self.config, tokens, attention_mask, past_key_values,
                neighbour_ids, neighbour_mask, chunk_offset,
            )  # fmt: skip
        self.added.current = this
        if self.added.mass is not None:
            self.added.mass.clear()
        try:
            given = {
                "input_ids": input_ids, "attention_mask": attention_mask,
                "past_key_values": past_key_values, "use_cache": use_cache,
                "position_ids": position_ids, "inputs_embeds": inputs_embeds, **rest,
            }  # fmt: skip
            if summed:
                hidden = self.backbone.base_model(**given).last_hidden_state
                loss = summed_nats(hidden, self.get_output_embeddings(), labels)
                return CausalLMOutputWithPast(loss=loss)
            output = self.backbone(labels=labels, logits_to_keep=logits_to_keep, **given)
            if this is not None and past_key_values is not None:
                past_key_values.retro_state = this.after()
            return output
        finally:
            # Checkpointed layers run once more in the backward pass and need it then.
            if not (self.training and self._checkpointed()):
                self.added.current = None

    @contextmanager
    def recorded_mass(self) -> Iterator[AttentionMass]:
        """Within it, every pass leaves there how much each token read of each neighbour."""
        self.added.mass = mass = AttentionMass()
        try:
            yield mass
        finally:
            self.added.mass = None

    def train(self, mode: bool = True) -> RetroForCausalLM:
        """As usual, but a frozen backbone keeps its dropout off, unless it is checkpointed."""
        super().train(mode)
        if self.config.frozen and not self._checkpointed():
            self.backbone.eval()
        return self

    def _checkpointed(self) -> bool:
        return any(getattr(part, "gradient_checkpointing", False) for part in self.modules())

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        return self.backbone.get_output_embeddings()

    def _reorder_cache(self, cache: Any, rows: Tensor) -> Any:
        """Beam search keeps some rows of the cache and doubles others."""
        cache.reorder_cache(rows)
        state: DecodingState | None = getattr(cache, "retro_state", None)
        if state is not None:
            cache.retro_state = state.reordered(rows.to(state.recent.device))
        return cache

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=INITIAL_SCALE)
        elif isinstance(module, nn.RMSNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, RelativeAttention):
            nn.init.zeros_(module.distance_bias)
            if module.closed:
                nn.init.zeros_(module.output.weight)


AutoConfig.register("retro", RetroConfig, exist_ok=True)
AutoModelForCausalLM.register(RetroConfig, RetroForCausalLM, exist_ok=True)
