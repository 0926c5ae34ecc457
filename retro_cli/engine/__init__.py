"""Where the parts of a stage run: in this process, in a pool of processes, or on a Ray cluster."""

from retro_cli.engine.interface import Engine, Load
from retro_cli.engine.open import ANYWHERE, HERE, Where, open_engine, open_replicas

__all__ = ["ANYWHERE", "HERE", "Engine", "Load", "Where", "open_engine", "open_replicas"]
