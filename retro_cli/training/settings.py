"""What a training run is: sizes, steps and rates, and the presets that name a set of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from retro_cli.config import fingerprint
from retro_cli.errors import UsageError
from retro_cli.wording import counted

PRECISIONS = ("auto", "fp32", "bf16")
BEGINNINGS = ("induction", "random")


@dataclass(frozen=True)
class TrainingSettings:
    """How weights are trained. The defaults fit a small model on two CPU cores in minutes.

    sequence: tokens in a sequence, a multiple of the model's chunk. batch: sequences in one
    forward pass on one device. accumulate: passes in one step, whichever processes take them, so
    that a step is the same on any number of devices. steps: updates of the weights.
    learning_rate: the peak; warmup: steps to it; then a cosine to ``final`` of it. betas,
    weight_decay, clip: of AdamW and the norm of the gradient. neighbours: k. precision: bf16 runs
    the matrix work in bfloat16 (weights, gradients and the optimiser stay in float32). save_every:
    steps between checkpoints. seed: of the weights and of the order of the documents. begin: how
    the added weights of a fitted model begin, "induction" (see ``induction.py``) or "random".
    echoes: the share of chunks that find passages of their own document (see ``echoes.py``).
    Raises UsageError for numbers that mean nothing.
    """

    sequence: int = 512
    batch: int = 4
    accumulate: int = 1
    steps: int = 300
    learning_rate: float = 1e-3
    warmup: int = 30
    final: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    clip: float = 1.0
    neighbours: int = 2
    precision: str = "auto"
    save_every: int = 50
    seed: int = 0
    begin: str = "induction"
    echoes: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        counts = ("sequence", "batch", "accumulate", "steps", "neighbours", "save_every")
        for name in counts:
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", "at least 1")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"a learning rate of {self.learning_rate}", "between 0 and 1")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r}", f"one of {', '.join(PRECISIONS)}")
        if self.begin not in BEGINNINGS:
            raise UsageError(f"--begin {self.begin!r}", f"one of {', '.join(BEGINNINGS)}")
        if not 0 <= self.echoes <= 1:
            raise UsageError(f"a share of {self.echoes} echoes", "between 0 and 1")

    def changed(self, **values: Any) -> TrainingSettings:
        """A copy with every value that is not None put in."""
        return replace(self, **{name: v for name, v in values.items() if v is not None})

    def passes_each(self, processes: int) -> int:
        """The passes of a step that each process takes. Raises UsageError if they cannot share."""
        if self.accumulate % processes == 0:
            return self.accumulate // processes
        rows = self.batch * self.accumulate
        like = f"--batch {rows // processes} " if rows % processes == 0 else ""
        raise UsageError(
            f"{processes} processes cannot share the {counted(self.accumulate, 'pass', 'passes')} "
            "of a step",
            f"choose a multiple of {processes}, as in {like}--accumulate {processes}"
            + (", which makes the same step" if like else ""),
        )

    def curve_fingerprint(self) -> str:
        """Runs with equal ones, model and material have equal loss curves."""
        shaping = {k: v for k, v in asdict(self).items() if k != "save_every"}
        return fingerprint(shaping)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TrainingSettings:
        known = {f.name for f in fields(cls)}
        return cls(**{name: v for name, v in value.items() if name in known})


@dataclass(frozen=True)
class Preset:
    """A model's shape and the run that suits it.

    base: fields of a Llama configuration (from scratch). added: fields of RetroConfig.
    """

    says: str
    training: TrainingSettings
    base: dict[str, Any] = field(default_factory=dict)
    added: dict[str, Any] = field(default_factory=dict)


def _llama(layers: int, width: int, heads: int, head: int, context: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads,
        "num_key_value_heads": heads, "head_dim": head, "intermediate_size": 4 * width,
        "max_position_embeddings": context, "tie_word_embeddings": True,
    }  # fmt: skip


_TINY = TrainingSettings(steps=100, batch=8, learning_rate=2e-3, warmup=20)
# An induction head is delicate: the rate is small. Late layers are cheap, since nothing is derived
# below the first of them, and copying has its effect there.
_FIT = TrainingSettings(batch=4, learning_rate=4e-4, warmup=10)
_FIT_ADDED = {
    "encoder_width": 256, "encoder_heads": 4, "encoder_layers": 1, "cca_layers": "late",
}  # fmt: skip
_GPU_HOUR = TrainingSettings(
    sequence=2048, batch=8, accumulate=2, steps=4000, learning_rate=5e-4, warmup=200,
    precision="bf16", save_every=200,
)  # fmt: skip
_PAPER = TrainingSettings(
    sequence=2048, batch=8, accumulate=32, steps=800_000, learning_rate=2e-4, warmup=750,
    precision="bf16", save_every=1000,
)  # fmt: skip
_PAPER_ENCODER = {"encoder_width": 896, "encoder_layers": 2, "encoder_heads": 14}


def _paper(says: str, shape: dict[str, Any], first: int = 6, **run: Any) -> Preset:
    """first: the lowest layer with cross-attention; every third follows (table 2)."""
    reading = list(range(first, shape["num_hidden_layers"] + 1, 3))
    added = {**_PAPER_ENCODER, "encoder_embeddings": "own", "cca_layers": reading}
    return Preset(f"Borgeaud et al. 2021, {says}", replace(_PAPER, **run), shape, added)


# Borgeaud et al. 2021, tables 2 and 11: 419 billion tokens, batches of 256 sequences (1024 for the
# largest). Llama's gated feed-forward stands for the paper's.
SCRATCH_PRESETS = {
    "tiny": Preset(
        "two CPU cores, under ten minutes",
        _TINY,
        _llama(4, 256, 4, 64, 2048),
        {"encoder_width": 256, "encoder_heads": 4, "encoder_layers": 1, "cca_layers": [2, 4]},
    ),
    "gpu-hour": Preset(
        "one GPU, about an hour",
        _GPU_HOUR,
        _llama(12, 768, 12, 64, 2048),
        {"encoder_width": 512, "encoder_heads": 8},
    ),
    "172m": _paper("172 million weights", _llama(12, 896, 16, 64, 2048)),
    "425m": _paper("425 million weights", _llama(12, 1536, 12, 128, 2048)),
    "1.5b": _paper("1.5 billion weights", _llama(24, 2048, 16, 128, 2048), first=9),
    "7.5b": _paper(
        "7.5 billion weights", _llama(32, 4096, 32, 128, 2048), first=9,
        learning_rate=1e-4, accumulate=128, steps=200_000,
    ),
}  # fmt: skip
# Section 4.3: only what is added is trained; 6 million sequences suffice at any size.
FIT_PRESETS = {
    "tiny": Preset(
        "two CPU cores, under ten minutes", replace(_FIT, steps=60, save_every=20), added=_FIT_ADDED
    ),
    "cpu-hour": Preset(
        "two CPU cores, about an hour",
        replace(_FIT, steps=420, save_every=30, echoes=0.25),
        added=_FIT_ADDED,
    ),
    "gpu-hour": Preset(
        "one GPU, about an hour", _GPU_HOUR, added={"encoder_width": 512, "encoder_heads": 8}
    ),
    "paper": Preset(
        "Borgeaud et al. 2021, section 4.3: 6 million sequences",
        replace(_PAPER, steps=23_438),
        added=_PAPER_ENCODER,
    ),
}


def preset(name: str, presets: dict[str, Preset]) -> Preset:
    """Raises UsageError with the known ones."""
    if name not in presets:
        known = ", ".join(f"{key} ({value.says})" for key, value in presets.items())
        raise UsageError(f"no preset {name!r}", f"one of {known}")
    return presets[name]
