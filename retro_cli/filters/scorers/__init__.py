"""Toxicity scorers: a text or its vector -> a number in [0, 1]."""
