"""Loading and saving a model without the bars that transformers draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)


@contextmanager
def without_bars() -> Iterator[None]:
    """They would be drawn over retro's own, also under --quiet and into files."""
    drawn = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            enable_progress_bar()
