"""A model in GGUF's few bits -> a folder as Hugging Face's libraries read it, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging


def convert_gguf(source: Path, target: Path) -> None:
    """Write config.json, model.safetensors and tokenizer.json of a .gguf file into ``target``.

    The weights are what its four bits stand for, exactly, so they are the same every time.
    """
    folder, file = str(source.parent), {"gguf_file": source.name}
    with _quiet(), torch.random.fork_rng(devices=[]):
        packed = AutoModelForCausalLM.from_pretrained(
            folder, **file, dtype=torch.float32, local_files_only=True
        )
        config = packed.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        vars(config).pop("_model_name_or_path", None)  # what the file calls itself
        # A model of its own: the loaded one knows that it was quantised, and will not be saved.
        plain = AutoModelForCausalLM.from_config(config)
        plain.load_state_dict(packed.state_dict())
        plain.save_pretrained(target)
        tokenizer = AutoTokenizer.from_pretrained(folder, **file, local_files_only=True)
        tokenizer.save_pretrained(target)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' own bars and warnings about ways they will change one day."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
