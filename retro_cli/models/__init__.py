"""RETRO: a causal language model whose layers read retrieved neighbours (Borgeaud et al. 2021)."""
