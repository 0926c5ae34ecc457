"""Weights: a RETRO model from scratch, or fitted to a frozen base, on a database's neighbours."""
