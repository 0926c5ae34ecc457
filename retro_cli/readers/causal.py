"""What readers of texts share: any causal language model, with its tokenizer and its limits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from retro_cli.models.language import LanguageModel, end_tokens


class Spelling:
    """Text into a model's tokens, and out of them."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """With the special tokens that the tokenizer puts around a text, unless it has them."""
        begun = self.tokenizer.bos_token is not None and text.startswith(self.tokenizer.bos_token)
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=not begun)
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


class CausalReader(Spelling):
    """Tokens in and out of a causal language model; its reading is each reader's own."""

    def __init__(self, model: LanguageModel, k: int = 1) -> None:
        super().__init__(model.tokenizer)
        self.network = model.network
        self.k = k
        self.ends: Collection[int] = end_tokens(
            model.network.generation_config, model.network.config
        )
        self.longest: int | None = window_of(model.network)

    def opening(self) -> list[int]:
        """The special tokens that the tokenizer puts before every text."""
        first = self.tokenizer.bos_token_id
        return [first] if first is not None and self.encode("a")[:1] == [first] else []


def window_of(network: Any) -> int | None:
    """The most tokens that the network reads at once; None where it does not say."""
    longest = getattr(network.config, "max_position_embeddings", None)
    return None if longest is None else int(longest)
