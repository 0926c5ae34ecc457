"""The datastore: keys of living chunks, made once, by one model, and gone with their chunks."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from helpers import fingerprint, write_jsonl
from nearest_helpers import opened, saved_model

from retro_cli import pipeline
from retro_cli.datastore import plan, stage
from retro_cli.datastore.manifest import load_manifest
from retro_cli.datastore.parts import Tokens, open_keys
from retro_cli.datastore.reader import Datastore
from retro_cli.errors import IntegrityError, RetroError, UsageError
from retro_cli.models.nearest import states
from retro_cli.store.layout import Layout
from retro_cli.verify import verify


def documents(retriever, tokens):
    """The chunks of each document that has keys, and its text."""
    keyed = retriever.rows.get(tokens.chunks().tolist())
    for first in sorted({chunk.id - chunk.position for chunk in keyed}):
        chunks = retriever.rows.get([first])
        while chunks[-1].has_next:
            chunks += retriever.rows.get([chunks[-1].id + 1])
        yield [chunk.id for chunk in chunks], "".join(chunk.text for chunk in chunks)


def test_every_living_token_has_the_key_of_the_text_before_it(layout, look, tiny):
    retriever = look(layout)
    language, model = opened(tiny, 32)
    manifest = load_manifest(layout.datastore)
    tokens, vectors = Tokens(layout.datastore, manifest), open_keys(layout.datastore, manifest)
    assert sorted(tokens.chunks()) == np.flatnonzero(retriever.live()).tolist()
    values = tokens.values()
    checked = 0
    for chunks, words in documents(retriever, tokens):
        wanted = np.isin(np.arange(retriever.manifest.next_id), chunks)
        mine = np.flatnonzero(tokens.of_chunks(wanted))
        text = model.tokenizer.raw.encode(words).ids
        assert values[mine].tolist() == text
        if len(text) <= 32:  # the whole of it is in one window
            found = states(language.network, [text])[0].numpy()
            expected = np.vstack([np.zeros((1, 16)), found[:-1]])
            np.testing.assert_allclose(vectors.gather(mine), expected, atol=2e-2, rtol=2e-3)
            checked += 1
    assert checked > 5


def test_a_database_in_the_models_own_tokens_gives_the_same_values(
    retro, archive, tiny, tmp_path, static_encoder, look
):
    own = tmp_path / "own.db"
    built = retro("build", archive, "--db", own, "--encoder", static_encoder, "--tokens", 16,
                  "--tokenizer", tiny, "--cut", "exact")  # fmt: skip
    assert built.code == 0, built.err
    pipeline.datastore(Layout(own), tiny, window=32)
    retriever = look(Layout(own))
    tokens = Tokens(own / "datastore", load_manifest(own / "datastore"))
    values = tokens.values()
    for row in tokens.chunks().tolist():
        mine = values[tokens.of_chunks(np.arange(retriever.manifest.next_id) == row)]
        stored = np.frombuffer(retriever.rows.tokens([row])[0], "<u2")
        assert mine.tolist() == stored.tolist()


def test_a_second_run_does_nothing_and_touches_nothing(layout, tiny):
    before = fingerprint(layout.datastore)
    report = pipeline.datastore(layout)
    assert (report.chunks_done, report.tokens_done) == (0, 0)
    assert fingerprint(layout.datastore) == before


def test_only_new_chunks_get_keys(layout, retro, archive):
    before = load_manifest(layout.datastore)
    new = [{"id": "new", "text": "the keeper rowed to the ferry " * 9}]
    write_jsonl(archive / "more.jsonl", new)
    assert retro("build", archive, "--db", layout.root).code == 0
    assert "no keys" in retro("status", layout.root).out
    report = pipeline.datastore(layout)
    after = load_manifest(layout.datastore)
    assert after.parts[: len(before.parts)] == before.parts
    assert report.tokens_done == after.tokens - before.tokens > 0
    assert "no keys" not in retro("status", layout.root).out


def test_another_model_makes_all_again_and_no_id_is_used_twice(layout, bpe_path, tmp_path):
    before = load_manifest(layout.datastore)
    other = saved_model(tmp_path / "other", bpe_path, seed=5)
    report = pipeline.datastore(layout, other)
    after = load_manifest(layout.datastore)
    assert "another model" in report.notes[0]
    assert min(part.base for part in after.parts) == before.next_token
    assert not any((layout.datastore / part.keys.name).exists() for part in before.parts)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_a_killed_run_resumes_and_ends_as_one_that_was_not(db, tiny, monkeypatch, tmp_path, after):
    monkeypatch.setattr(plan, "PIECE_ROWS", 8)
    quiet, killed = Layout(db), Layout(tmp_path / "killed.db")
    shutil.copytree(db, killed.root)
    pipeline.datastore(quiet, tiny)
    made, count = stage.make_part, []

    def until_killed(*arguments):
        if len(count) == after:
            raise Killed
        count.append(1)
        return made(*arguments)

    monkeypatch.setattr(stage, "make_part", until_killed)
    with pytest.raises(Killed):
        pipeline.datastore(killed, tiny)
    assert load_manifest(killed.datastore) is None
    remade = []
    monkeypatch.setattr(stage, "make_part", lambda *a: remade.append(1) or made(*a))
    pipeline.datastore(killed, tiny)
    monkeypatch.undo()

    def contents(layout):
        return {
            path.name: path.read_bytes()
            for path in layout.datastore.iterdir()
            if path.name != ".verified.json"
        }

    assert contents(killed) == contents(quiet)
    assert len(remade) + after == len(load_manifest(quiet.datastore).parts)


@pytest.mark.parametrize("what", ["keys", "rows"])
def test_a_damaged_part_is_made_again_and_only_that(layout, what):
    part = load_manifest(layout.datastore).parts[0]
    path = layout.datastore / getattr(part, what).name
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    assert verify(layout).problems
    report = pipeline.datastore(layout)
    assert report.notes
    assert report.tokens_done == part.tokens
    assert verify(layout).problems == []


def test_a_damaged_index_is_made_again_from_the_keys(layout, look):
    segment = load_manifest(layout.datastore).index.segments[0]
    (layout.datastore / segment.file.name).unlink()
    with pytest.raises(IntegrityError):
        Datastore(look(layout))
    assert pipeline.datastore(layout).tokens_done == 0
    assert Datastore(look(layout)).keys
    assert verify(layout).problems == []


def test_a_manifest_that_says_nothing_is_an_error_and_a_run_mends_it(layout, retro, tiny):
    (layout.datastore / "manifest.json").write_text(json.dumps({"maker": 3}))
    assert retro("status", layout.root).code == 4
    pipeline_error = retro("datastore", layout.root, "--model", tiny)
    assert pipeline_error.code == 4
    assert "again" in pipeline_error.err


def test_a_window_of_one_token_is_refused(db, tiny):
    with pytest.raises(UsageError, match="window"):
        pipeline.datastore(Layout(db), tiny, window=1)


def test_a_model_without_numbers_makes_no_keys(db, tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.layers.2.post_attention_layernorm.weight"][:] = 1e9
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RetroError, match="half precision"):
        pipeline.datastore(Layout(db), broken)
    assert load_manifest(db / "datastore") is None
