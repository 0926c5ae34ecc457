"""Where models lie: in installed packages, and in the hub's cache on this machine."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from retro_cli.errors import ConfigError, UsageError

HUB = "hf:"
_NAME = re.compile(rf"{HUB}([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")
_FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model")


def package_folder(package: str) -> Path | None:
    """Where an installed package lies, without importing it."""
    found = importlib.util.find_spec(package)
    return None if found is None or found.origin is None else Path(found.origin).parent


def hub_folder(name: str, allow_download: bool) -> Path:
    """The folder of "hf:org/name", fetched only if that is allowed.

    Raises ConfigError (no such name, or out of reach) or UsageError (not here, not allowed).
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"'{name}' is not a hub name", "write it as hf:org/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():  # a log has no use for the hub's bars, nor a program for lines
        disable_progress_bars()
    try:
        folder = snapshot_download(
            match[1], local_files_only=not allow_download, allow_patterns=list(_FETCHED)
        )
    except LocalEntryNotFoundError as error:
        if allow_download:
            raise ConfigError(
                f"{name} could not be fetched, and is not in the local cache",
                "check the network and the name, or give a local folder",
            ) from error
        raise UsageError(
            f"{name} is not in the local cache, and retro downloads nothing unasked",
            "allow it with --download, or give a local folder",
        ) from error
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors or ValueErrors
        raise ConfigError(f"{name}: {error}", "check the name") from error
    except Exception as error:  # of whichever library the hub's client speaks HTTP with
        if not allow_download:
            raise
        raise ConfigError(
            f"{name} could not be fetched ({error})", "check the network and try again"
        ) from error
    return Path(folder)
