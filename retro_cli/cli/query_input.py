"""Query vectors from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retro_cli.errors import InputNotFound, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def load_vectors(path: Path) -> npt.NDArray[np.float32]:
    """(n, dim) unit rows. Raises UsageError for what is no file of finite numbers."""
    import numpy as np

    from retro_cli.query.given import unit_rows

    hint = "give a .npy file of numbers, of shape (n, dim)"
    try:
        with path.open("rb") as file:
            found = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputNotFound(f"{path} cannot be read ({why})", hint) from error
    if found.dtype.kind not in "iuf":
        raise UsageError(f"{path} holds values of type {found.dtype}", hint)
    return unit_rows(found, str(path))
