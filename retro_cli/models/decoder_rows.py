"""Rows that one network decodes side by side, causal or sequence-to-sequence, with their cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from retro_cli.errors import UsageError

Tensor = Any


class DecoderRows(Protocol):
    """Inputs that a network continues, one a row."""

    def feed(self, tokens: Tensor) -> Tensor:
        """(rows, places, vocabulary) float32, log p of the token behind each new place.

        tokens: (rows, n) int64, what follows what was fed before. Places are these n; the first
        time also the one before them, behind the input. At least one place.
        """

    def pick(self, rows: Sequence[int]) -> None:
        """Row i becomes row ``rows[i]``: rows may end, and may fork."""


class CausalRows:
    """The inputs are the beginnings of the texts; shorter ones are padded on the left."""

    def __init__(self, network: Any, inputs: Sequence[Sequence[int]]) -> None:
        """inputs: at least one token each."""
        self._network = network
        self._begin, self._mask = padded_batch(inputs, network.device, left=True)
        self._fresh = True
        self._cache = DynamicCache(config=network.config)
        self._takes_positions = "position_ids" in inspect.signature(network.forward).parameters

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def feed(self, tokens: Tensor) -> Tensor:
        tokens = tokens.to(self._mask.device)
        places = tokens.shape[1] + int(self._fresh)
        ids = torch.cat([self._begin, tokens], dim=1) if self._fresh else tokens
        self._mask = torch.cat([self._mask, torch.ones_like(tokens)], dim=1)
        positions = {}
        if self._takes_positions:
            counted = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
            positions = {"position_ids": counted[:, -ids.shape[1] :]}
        output = self._network(
            ids, attention_mask=self._mask, past_key_values=self._cache, use_cache=True,
            logits_to_keep=places, **positions,
        )  # fmt: skip
        self._fresh = False
        return output.logits[:, -places:].float().log_softmax(dim=-1)

    def pick(self, rows: Sequence[int]) -> None:
        chosen = torch.tensor(rows, device=self._mask.device)
        self._mask = self._mask[chosen]
        if self._fresh:
            self._begin = self._begin[chosen]
        else:
            self._cache.reorder_cache(chosen)


class Seq2SeqRows:
    """The inputs are read by the encoder, once; the texts begin with the decoder's start token."""

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def __init__(self, network: Any, inputs: Sequence[Sequence[int]]) -> None:
        """inputs: at least one token each. Raises UsageError for a model without start token."""
        self._network = network
        self._start = start_token(network)
        ids, self._mask = padded_batch(inputs, network.device)
        encoder = network.get_encoder()
        self._encoded = encoder(input_ids=ids, attention_mask=self._mask).last_hidden_state
        self._fresh = True
        config = network.config
        self._cache = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def feed(self, tokens: Tensor) -> Tensor:
        tokens = tokens.to(self._mask.device)
        if self._fresh:
            start = tokens.new_full((len(self._mask), 1), self._start)
            tokens = torch.cat([start, tokens], dim=1)
        output = self._network(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
            attention_mask=self._mask, decoder_input_ids=tokens, past_key_values=self._cache,
            use_cache=True,
        )  # fmt: skip
        self._fresh = False
        return output.logits.float().log_softmax(dim=-1)

    def pick(self, rows: Sequence[int]) -> None:
        chosen = torch.tensor(rows, device=self._mask.device)
        self._mask, self._encoded = self._mask[chosen], self._encoded[chosen]
        if not self._fresh:
            self._cache.reorder_cache(chosen)


def start_token(network: Any) -> int:
    """What a decoder begins with. Raises UsageError where the model does not say."""
    for config in (network.config, network.generation_config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    raise UsageError(
        "the model does not say what its decoder begins with",
        "its config.json wants a decoder_start_token_id",
    )


def padded_batch(
    inputs: Sequence[Sequence[int]], device: Any = "cpu", left: bool = False
) -> tuple[Tensor, Tensor]:
    """(rows, longest) int64: tokens with 0 where there is none, and a mask, 1 where there is one.

    left: pad in front, for a decoder that continues; else behind, for an encoder.
    """
    longest = max(map(len, inputs))
    ids = torch.zeros((len(inputs), longest), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(inputs):
        place = slice(longest - len(tokens), longest) if left else slice(0, len(tokens))
        ids[row, place] = torch.tensor(tokens, dtype=torch.int64)
        mask[row, place] = 1
    return ids.to(device), mask.to(device)
