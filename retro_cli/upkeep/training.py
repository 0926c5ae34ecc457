"""Train a probe of one's own: labelled texts, encoded by the database's frozen encoder."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.manifest import require_manifest
from retro_cli.embeddings.resolve import resolve
from retro_cli.errors import EncoderMismatch, UnreadableInput
from retro_cli.events import SILENT, Progress
from retro_cli.filters.scorers.probe import Probe
from retro_cli.filters.scorers.train import train_probe
from retro_cli.store.atomic import check_output
from retro_cli.store.layout import Layout
from retro_cli.store.named import read_named

_BATCH = 256
LONGEST_TEXT = 1 << 17  # characters; a longer one is a quotation mark that never closes
_HINT = "give a CSV file in UTF-8 with the columns text and label (0 harmless, 1 toxic)"


def train_from_csv(
    layout: Layout, path: Path, out: Path, progress: Progress = SILENT
) -> tuple[Probe, int]:
    """Train on a CSV with the columns text and label, and write the probe to ``out``.

    Raises InputNotFound, UnreadableInput for a file without them, EncoderMismatch if the encoder
    is not the one that made the database's vectors.
    """
    layout.require()
    check_output(out)
    spec = require_manifest(layout.embeddings).encoder
    resolved = resolve(spec.name)
    if resolved.spec.fingerprint() != spec.fingerprint():
        raise EncoderMismatch(
            f"{spec.name} is not the encoder that made the vectors any more",
            "embed again, or put the old weights back",
        )
    texts, labels = _read(path)
    encoder = load_encoder(resolved, purpose="bulk", precision="fp32")
    progress.started("encode", len(texts), "texts")
    blocks = []
    for start in range(0, len(texts), _BATCH):
        blocks.append(encoder.encode_documents(texts[start : start + _BATCH]))
        progress.advanced("encode", len(blocks[-1]))
    progress.finished("encode")
    vectors = np.concatenate(blocks).astype(np.float16)
    probe = train_probe(
        vectors,
        np.array(labels),
        encoder_fingerprint=spec.fingerprint(),
        trained_on=path.name,
    )
    probe.save(out)
    return probe, len(texts)


def _read(path: Path) -> tuple[list[str], list[int]]:
    texts: list[str] = []
    labels: list[int] = []
    csv.field_size_limit(LONGEST_TEXT)  # of the whole process, and others set their own
    rows = csv.DictReader(io.StringIO(read_named(path, _HINT), newline=""))
    try:
        if not {"text", "label"} <= set(rows.fieldnames or ()):
            raise UnreadableInput(f"{path} lacks the columns text and label", _HINT)
        for row in rows:
            if row["label"] not in ("0", "1") or not row["text"]:
                raise UnreadableInput(
                    f"{path}, line {rows.line_num}: label {row['label']!r}",
                    "every row needs a text, and the label 0 or 1",
                )
            texts.append(row["text"])
            labels.append(int(row["label"]))
    except csv.Error as error:
        raise UnreadableInput(f"{path}, line {rows.line_num + 1}: {error}", _HINT) from error
    if not texts:
        raise UnreadableInput(f"{path} has no rows", "every row needs a text and a label")
    return texts, labels
