"""Where pieces of a stage run: in this process, or in a pool of processes on this machine."""

from retro_cli.engine.local import run_parts

__all__ = ["run_parts"]
