"""Databases behind fsspec URLs: published as snapshots, read where they lie, fetched back."""
