"""The models that ship with the package: added weights, whose base is found by its name."""

from __future__ import annotations

from pathlib import Path

from retro_cli.errors import IntegrityError
from retro_cli.store.atomic import file_sha256

DEFAULT_MODEL = "smollm2-135m-prose"
# The sha256 of each one's weights: see docs/results.md for how they were made.
SHIPPED = {DEFAULT_MODEL: "cce9dde3b2df92665ad60efa9a5b7ee62989e61069c0ee23ad7b8b08864f6803"}
_FOLDER = Path(__file__).parent / "data"


def find_model(name: str | Path) -> Path:
    """The folder of a model that ships, by its name in any case, or of one in a folder.

    Raises IntegrityError where the package's weights are not the ones that were published.
    """
    known = str(name).casefold()
    if known not in SHIPPED:
        return Path(name).expanduser()
    folder = _FOLDER / known
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_sha256(weights) != SHIPPED[known]:
        raise IntegrityError(f"{weights} is not what was published", "install retro-cli again")
    return folder
