"""The corpus that the filters are tried on."""

from __future__ import annotations

import json

import pytest
from helpers import write_jsonl
from plain_world import Row, World, records

from retro_cli import pipeline
from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import require_manifest
from retro_cli.chunks.rows import ChunkRows
from retro_cli.filters.exclusion import corpus_of
from retro_cli.store.layout import Layout


@pytest.fixture(scope="module")
def world(tmp_path_factory, static_encoder):
    """Two editions of a file: some documents were replaced, some texts are said twice."""
    from retro_cli.chunks.rows import read_blocks, token_ids

    folder = tmp_path_factory.mktemp("world")
    layout = Layout(folder / "w.db")
    path = folder / "posts.jsonl"
    for edition in range(2):
        write_jsonl(path, records(edition))
        options = pipeline.ChunkOptions(workers=1)
        how = {"encoder": str(static_encoder), "tokens": 12}
        pipeline.chunk(layout, [str(path)], how, options)
    manifest = require_manifest(layout.chunks)
    aliases = Aliases.load(layout.chunks, manifest.aliases)
    corpus = corpus_of(layout, manifest, aliases)
    reader = ChunkRows(layout.chunks, manifest.parts)
    rows = []
    for chunk in reader.get(range(manifest.next_id)):
        document = reader.document(chunk.id)
        year = json.loads(document["metadata"])["year"]
        alive = bool(corpus.own[chunk.id])
        rows.append(
            Row(chunk.id, chunk.document, chunk.source, chunk.text, year, document["uri"], alive)
        )
    reader.close()
    tokens = [
        tuple(ids.tolist())
        for part in manifest.parts
        for block in read_blocks(layout.chunks / part.chunks_file, ["tokens"])
        for ids in token_ids(block["tokens"], manifest.token_bytes)
    ]
    assert len(tokens) == len(rows) == manifest.next_id
    assert not corpus.own.all()
    assert len(aliases.member)
    return World(layout, corpus, aliases, tuple(rows), tuple(tokens))
