"""Chunk -> vector: the frozen encoder, its backends under one contract, and the embed stage."""
