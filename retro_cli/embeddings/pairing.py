"""A query encoder that was trained apart, and the document encoder that it belongs to.

Its folder is any encoder's, with a ``query_encoder.json`` beside that names the fingerprint of the
encoder whose document vectors it was trained against. Only to those may its vectors be compared.
"""

from __future__ import annotations

import json
from pathlib import Path

from retro_cli.embeddings.resolve import ResolvedEncoder
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.errors import EncoderMismatch
from retro_cli.store.atomic import write_json

PAIRING = "query_encoder.json"
BESIDE = "query-encoder"  # its folder in that of a model or a document encoder


def pair(folder: Path, documents: EncoderSpec) -> None:
    """Note in a query encoder's folder which document encoder it was trained against."""
    # Not by its full path: what was trained here may be used elsewhere.
    name = Path(documents.name).name
    write_json(folder / PAIRING, {"documents": documents.fingerprint(), "documents_name": name})


def trained_against(folder: Path) -> tuple[str, str]:
    """(fingerprint, name) of the document encoder; empty where the folder names none."""
    try:
        said = json.loads((folder / PAIRING).read_bytes())
        return str(said["documents"]), str(said.get("documents_name", ""))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return "", ""


def check_pair(resolved: ResolvedEncoder, documents: EncoderSpec) -> None:
    """Raises EncoderMismatch unless queries of one may be compared with documents of the other."""
    spec = resolved.spec
    fingerprint, name = trained_against(resolved.folder)
    if documents.fingerprint() in (spec.fingerprint(), fingerprint) and spec.dim == documents.dim:
        return
    if fingerprint:
        raise EncoderMismatch(
            f"the query encoder {spec.name} was trained for documents encoded by {name} "
            f"({fingerprint[:12]}), and the index was made with {documents.name} "
            f"({documents.fingerprint()[:12]})",
            "name the query encoder that was trained for this one, or leave it out",
        )
    raise EncoderMismatch(
        f"the index was made with {documents.name}, and {spec.name} has other weights or settings",
        "query with the same encoder, or embed and index again with this one",
    )


def beside(model: str | Path | None) -> Path | None:
    """The query encoder that was trained with a model and lies in its folder, if one does."""
    folder = None if model is None else Path(model).expanduser() / BESIDE
    return folder if folder is not None and trained_against(folder)[0] else None
