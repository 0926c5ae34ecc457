"""Tiny random RETRO models, and RETRO once more: one position at a time, from the equations."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from retro_cli.models.retro import RetroForCausalLM

VOCABULARY = 61
SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3,
    "num_attention_heads": 4, "max_position_embeddings": 512, "bos_token_id": 1,
    "eos_token_id": None, "pad_token_id": 0,
}  # fmt: skip
GROUPED = {**SHAPE, "num_key_value_heads": 2}
BASES = {
    "llama": LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "mistral": MistralConfig(**GROUPED, head_dim=4),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=4),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_embd=16, n_layer=3, n_head=4, n_positions=512,
        bos_token_id=1, eos_token_id=None, pad_token_id=0,
    ),
    "gpt_neox": GPTNeoXConfig(**SHAPE),
    "gpt_neox_serial": GPTNeoXConfig(**SHAPE, use_parallel_residual=False),
}  # fmt: skip


def shaken(model, seed=0):
    """Every weight random and of a size that matters, tables and norms included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            scale = weight.dim() == 1 and name.endswith("weight")
            weight.copy_(noise * 0.3 + (1.0 if scale else 0.0))
    return model


def base(kind="llama", seed=0):
    return shaken(AutoModelForCausalLM.from_config(deepcopy(BASES[kind])), seed).eval()


def retro(m=4, kind="llama", *, shake=True, freeze=True, **settings):
    chosen = {
        "chunk_length": m, "cca_layers": [2, 3], "encoder_width": 12, "encoder_heads": 3, **settings
    }  # fmt: skip
    model = RetroForCausalLM.from_base(base(kind), freeze=freeze, **chosen)
    if shake:
        shaken(model.added, seed=1)
    return model


def tokens(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, shape, generator=generator)


def logits(model, ids, neighbours=None, **rest):
    with torch.no_grad():
        return model(ids, neighbour_ids=neighbours, **rest).logits


def array(tensor):
    return tensor.detach().double().numpy()


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def rms(x, norm):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * array(norm.weight)


def attend(part, x, sources, bias_rows):
    """One query x over lists of source vectors; bias_rows: the table's row of each source."""
    heads = part.heads
    q = (array(part.query.weight) @ x).reshape(heads, -1)
    read = []
    for head in range(heads):
        width = q.shape[1]
        rows = slice(head * width, (head + 1) * width)
        keys = sources @ array(part.key.weight)[rows].T
        values = sources @ array(part.value.weight)[rows].T
        bias = array(part.distance_bias)[head][bias_rows]
        read.append(softmax(keys @ q[head] / np.sqrt(width) + bias) @ values)
    return array(part.output.weight) @ np.concatenate(read)


def cca_by_position(cca, hidden, encoded, visible, m, r):
    """CCA(H, E) - H for one row: equations 3, 4 and 6, position by position.

    hidden: (n, d); encoded: (chunks, k, r', e); visible: (chunks, k, r').
    """
    out = np.zeros_like(hidden)
    normed = rms(hidden, cca.norm)
    for t in range(len(hidden)):
        u = (t + 1) // m - 1  # the last token of a chunk reads with the next chunk's first
        if u < 0 or u >= len(encoded) or not visible[u].any():
            continue
        i = t - (u * m + m - 1) + 1  # 1 .. m, as in the paper
        sources, rows = [], []
        for j in range(encoded.shape[1]):
            for step in range(encoded.shape[2]):
                if visible[u, j, step]:
                    d = i - (step + 1) + m - 1  # equation 6
                    sources.append(encoded[u, j, step])
                    rows.append(d - (m - r))  # the smallest distance, m - r, has row 0
        out[t] = attend(cca.attention, normed[t], np.array(sources), rows)
    return out


def encoder_by_position(encoder, embedded, visible, source, longest):
    """ENCODER(RET(C_u), H_u) for one neighbour: embedded (r', e), visible (r',), source (m, d)."""
    real = np.flatnonzero(visible)
    x = rms(embedded, encoder.embedding_norm) @ array(encoder.embedding_map.weight).T
    for layer in encoder.layers:
        normed = rms(x, layer.norm)
        x = x + np.array([
            attend(layer.attention, normed[i], normed[real], i - real + longest - 1)
            for i in range(len(x))
        ])  # fmt: skip
        if layer.cross:
            given = rms(source, layer.source_norm)
            normed = rms(x, layer.cross_norm)
            places = np.arange(len(source))
            x = x + np.array([
                attend(layer.cross_attention, normed[i], given, i - places + len(source) - 1)
                for i in range(len(x))
            ])  # fmt: skip
        wide = rms(x, layer.feed_norm) @ array(layer.widen.weight).T
        gelu = torch.nn.functional.gelu(torch.from_numpy(wide)).numpy()
        x = x + gelu @ array(layer.narrow.weight).T
    return rms(x, encoder.norm)


def llama_parts(backbone, n):
    """The embedding, the layers, the attention of one, the norm before its feed-forward by name,
    and the last norm."""
    inner = backbone.model
    rotary = inner.rotary_emb(inner.embed_tokens.weight, torch.arange(n)[None])

    def attention(layer, x, mask):
        normed = layer.input_layernorm(x)
        return layer.self_attn(normed, attention_mask=mask, position_embeddings=rotary)[0]

    return inner.embed_tokens, inner.layers, attention, "post_attention_layernorm", inner.norm


def gpt2_parts(backbone, n):
    inner = backbone.transformer

    def embed(ids):
        return inner.wte(ids) + inner.wpe(torch.arange(n))

    def attention(layer, x, mask):
        return layer.attn(layer.ln_1(x), attention_mask=mask)[0]

    return embed, inner.h, attention, "ln_2", inner.ln_f


def gpt_neox_parts(backbone, n):
    inner = backbone.gpt_neox
    rotary = inner.rotary_emb(inner.embed_in.weight, torch.arange(n)[None])

    def attention(layer, x, mask):
        normed = layer.input_layernorm(x)
        return layer.attention(normed, attention_mask=mask, position_embeddings=rotary)[0]

    last = inner.final_layer_norm
    return inner.embed_in, inner.layers, attention, "post_attention_layernorm", last


PARTS = {"llama": llama_parts, "gpt2": gpt2_parts, "gpt_neox": gpt_neox_parts}


def encoded_by_position(model, neighbours, hidden):
    """E of one row, (chunks, k, r', e): neighbours (chunks, k, r'), hidden (n, d) of its tokens."""
    m, r = model.config.chunk_length, model.config.retrieved_length
    table = array(model.get_input_embeddings().weight)
    encoded = np.zeros((*neighbours.shape, model.config.encoder_width))
    for u in range(min(len(hidden) // m, len(neighbours))):
        for j, neighbour in enumerate(neighbours[u]):
            visible = neighbour.numpy() >= 0
            if visible.any():
                encoded[u, j] = encoder_by_position(
                    model.added.encoder, table[neighbour.clamp(min=0)], visible,
                    hidden[u * m : (u + 1) * m], r,
                )  # fmt: skip
    return encoded


def model_by_position(model, ids, neighbours):
    """The logits of one row (n,) with neighbours (chunks, k, r'), -1 for padding.

    CCA comes between self-attention and feed-forward; where these two are parallel (GPT-NeoX),
    it reads the residual after the self-attention and the feed-forward does not see it.
    """
    config, backbone, n = model.config, model.backbone, len(ids)
    m, r = config.chunk_length, config.retrieved_length
    embed, layers, attention, norm, last = PARTS[config.base_config.model_type](backbone, n)
    parallel = getattr(config.base_config, "use_parallel_residual", False)
    x = embed(ids)[None]
    causal = torch.full((n, n), float("-inf"), dtype=x.dtype).triu(1)[None, None]
    encoded = None
    for number, layer in enumerate(layers, start=1):
        attended = x + attention(layer, x, causal)
        if number in config.cca_layers:
            hidden = array(attended[0])
            if encoded is None:
                encoded = encoded_by_position(model, neighbours, hidden)
            cca = model.added.cca[config.cca_layers.index(number)]
            read = cca_by_position(cca, hidden, encoded, neighbours.numpy() >= 0, m, r)
            attended = attended + torch.from_numpy(read).to(x.dtype)[None]
        x = attended + layer.mlp(getattr(layer, norm)(x if parallel else attended))
    return backbone.get_output_embeddings()(last(x))[0]
