"""Where training runs, and in which precision."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from retro_cli.errors import MissingExtra

CPU_INFO = Path("/proc/cpuinfo")
_FAST = ("avx512_bf16", "amx_bf16")


def accelerator(precision: str) -> Any:
    """An ``accelerate.Accelerator``: one process here, or one of those that ``accelerate launch``
    started. Raises MissingExtra.

    precision: "fp32", "bf16", or "auto": bfloat16 where the device multiplies it natively.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise MissingExtra("training", "lm") from error
    import torch

    if precision == "auto":
        gpu = torch.cuda.is_available()
        native = torch.cuda.is_bf16_supported() if gpu else bf16_pays(_flags())
        precision = "bf16" if native else "fp32"
    if not torch.cuda.is_available():
        from retro_cli.models.threads import use_all_cores

        use_all_cores()
    AcceleratorState._reset_state()  # a process may train twice, in two precisions
    # A batch without neighbours leaves the added weights out of the graph.
    spread = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        mixed_precision="bf16" if precision == "bf16" else "no", kwargs_handlers=[spread]
    )


def once(work: Callable[[], None]) -> None:
    """Do what writes to shared folders in the first process only; the others wait for it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        work()
        return
    try:
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env
    except ImportError as error:
        raise MissingExtra("training", "lm") from error
    # The others wait for as long as the first works, which may be hours for a large table.
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=timedelta(days=7))
    if state.is_main_process:
        work()
    state.wait_for_everyone()


def is_first() -> bool:
    """Whether this is the process that speaks and writes."""
    return int(os.environ.get("RANK", "0")) == 0


def bf16_pays(flags: str) -> bool:
    """Whether a processor with these flags multiplies bfloat16 faster than float32."""
    return any(flag in flags.split() for flag in _FAST)


def _flags() -> str:
    if not CPU_INFO.is_file():
        return ""
    lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
