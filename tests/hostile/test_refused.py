"""A run that is refused leaves a database as if it had not been; one that is killed resumes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import fingerprint, write_jsonl

from retro_cli import pipeline
from retro_cli.chunks import stage
from retro_cli.config import load_settings
from retro_cli.engine.local import Local
from retro_cli.store.layout import Layout


@pytest.fixture
def chunk(retro, monkeypatch):
    """Run the stage, in small parts."""
    job = stage.ChunkJob
    monkeypatch.setattr(pipeline, "ChunkJob", lambda *a, **k: job(*a, **{**k, "part_bytes": 99}))

    def run(*args, db="d"):
        return retro("chunk", *args, "--db", db, "--workers", 1)

    return run


@pytest.fixture
def bodies(tmp_path):
    """A folder whose records have their text in the field "body"."""
    folder = tmp_path / "bodies"
    folder.mkdir()
    for name in "abc":
        records = [{"id": f"{name}{n}", "body": f"the boat {name} {n}"} for n in range(9)]
        write_jsonl(folder / f"{name}.jsonl", records)
    return folder


@pytest.fixture
def built(chunk, bodies, static_encoder, tmp_path):
    assert chunk(bodies, "--text-field", "body", "--encoder", static_encoder).code == 0
    return tmp_path / "d"


@pytest.fixture
def interrupt(monkeypatch, chunk):
    """Run the stage, and end it with Ctrl-C after the first part."""

    def run(*args, db="d"):
        run_here = Local.run
        with monkeypatch.context() as patch:
            patch.setattr(Local, "run", lambda *a: _first(run_here(*a)))
            assert chunk(*args, db=db).code == 130

    return run


def _first(results):
    yield next(iter(results))
    raise KeyboardInterrupt


def settings(db="d"):
    return load_settings(Layout(Path(db)))


@pytest.mark.parametrize("words", [["--text-field", "boddy"], ["--tokens", 8, "--format", "pdf"]])
def test_a_run_that_reads_nothing_changes_nothing(chunk, bodies, built, words):
    before = fingerprint(built)
    assert chunk(bodies, *words).code == 2
    assert fingerprint(built) == before
    assert "up to date" in chunk(bodies).err


def test_nor_does_one_whose_settings_came_from_the_environment(chunk, built, bodies, monkeypatch):
    before = fingerprint(built)
    monkeypatch.setenv("RETRO_TEXT_FIELD", "boddy")
    assert "nothing could be read" in chunk(bodies).err
    monkeypatch.delenv("RETRO_TEXT_FIELD")
    assert fingerprint(built) == before


def test_a_first_run_that_reads_nothing_leaves_the_choice_open(chunk, bodies, static_encoder):
    assert chunk(bodies, "--encoder", static_encoder, "--text-field", "boddy").code == 2
    assert settings().text_field == ""
    assert chunk(bodies, "--encoder", static_encoder, "--text-field", "body").code == 0
    assert settings().tokenizer == settings().encoder == str(static_encoder)


def test_settings_last_from_the_commit_on(interrupt, bodies, built):
    interrupt(bodies, "--tokens", 8)
    assert settings().tokens == 64


def test_an_interrupted_run_resumes_with_the_settings_it_was_given(
    retro, chunk, interrupt, bodies, built, static_encoder
):
    interrupt(bodies, "--tokens", 8)
    assert retro("embed", "d").code == 0  # is told of none of them
    done = chunk(bodies)
    assert "the interrupted run was given: tokens = 8" in done.err
    assert "resuming: 1 of" in done.err
    assert settings().tokens == 8
    quiet = ["--text-field", "body", "--encoder", static_encoder, "--tokens", 8]
    assert chunk(bodies, *quiet, db="quiet").code == 0
    assert settings("quiet") == settings()
    assert "up to date" in chunk(bodies).err


def test_so_does_a_first_run(chunk, interrupt, bodies, static_encoder):
    interrupt(bodies, "--encoder", static_encoder, "--text-field", "body", "--tokens", 8)
    assert chunk(bodies).code == 0
    found = settings()
    assert (found.encoder, found.tokenizer) == (str(static_encoder), str(static_encoder))
    assert (found.text_field, found.tokens) == ("body", 8)


def test_what_the_user_names_now_goes_before_what_the_interrupted_run_was_given(
    chunk, interrupt, bodies, built
):
    interrupt(bodies, "--tokens", 8)
    assert "up to date" in chunk(bodies, "--tokens", 64).err
    assert settings().tokens == 64
    assert "up to date" in chunk(bodies).err


def test_a_refused_run_leaves_the_interrupted_one_to_be_resumed(chunk, interrupt, bodies, built):
    interrupt(bodies, "--tokens", 8)
    journal = (built / "chunks" / "journal.jsonl").read_bytes()
    before = fingerprint(built)
    assert chunk(bodies, "--text-field", "boddy").code == 2
    assert chunk(bodies / "a.jsonl").code == 2
    assert fingerprint(built) == before
    assert (built / "chunks" / "journal.jsonl").read_bytes() == journal
    assert "resuming: 1 of" in chunk(bodies).err
    assert settings().tokens == 8


def test_an_interrupted_run_that_is_refused_when_it_resumes_is_over(
    retro, chunk, interrupt, bodies, built
):
    before = fingerprint(built)
    interrupt(bodies, "--text-field", "boddy")
    assert chunk(bodies).code == 2
    assert fingerprint(built) == before
    assert "up to date" in chunk(bodies).err
    assert "interrupted" not in retro("status", "d").out


def test_a_diff_compares_with_what_an_interrupted_run_was_given(retro, interrupt, bodies, built):
    interrupt(bodies, "--tokens", 8)
    assert "cut every document again" in " ".join(retro("diff", "d", bodies).out.split())


@pytest.mark.parametrize("command", ["chunk", "build"])
def test_an_encoder_that_is_not_known_is_not_remembered(retro, bodies, built, command):
    before = fingerprint(built)
    done = retro(command, bodies, "--db", built, "--encoder", "wordlama")
    assert done.code == 2
    assert "no encoder is called 'wordlama'" in done.err
    assert fingerprint(built) == before


def test_another_encoder_is_remembered_before_it_has_embedded(retro, bodies, built):
    assert retro("chunk", bodies, "--db", built, "--encoder", "wordllama").code == 0
    assert settings().encoder == "wordllama"


@pytest.fixture
def mixed(retro, static_encoder, tmp_path):
    """A folder of records and a text, and the database of both."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", [{"id": f"r{n}", "text": f"the boat {n}"} for n in range(2)])
    (folder / "x.txt").write_text("the keeper")
    assert retro("build", folder, "--db", "m", "--encoder", static_encoder).code == 0
    return folder


@pytest.mark.parametrize("prune", [[], ["--prune"]])
def test_a_file_that_cannot_be_read_with_other_settings_keeps_its_documents(
    retro, chunk, mixed, prune
):
    before = fingerprint(Path("m"))
    refused = chunk(mixed, "--text-field", "boddy", *prune, db="m")
    assert refused.code == 2
    assert f"nothing can be read of {mixed}/a.jsonl with text_field = 'boddy'" in refused.err
    assert "2 documents of it would be lost" in refused.err
    assert "hint:" in refused.err
    assert fingerprint(Path("m")) == before
    assert "up to date, 3 documents" in chunk(mixed, db="m").err


def test_nor_does_a_file_lose_them_that_was_damaged_since(retro, chunk, mixed):
    good = (mixed / "a.jsonl").read_bytes()
    (mixed / "a.jsonl").write_bytes(b"{nonsense\n")
    assert "a.jsonl with tokens = 8" in chunk(mixed, "--tokens", 8, db="m").err
    assert chunk(mixed, db="m").code == 3
    (mixed / "a.jsonl").write_bytes(good)
    assert chunk(mixed, "--tokens", 8, db="m").code == 0
    assert retro("status", "m", "--json").rows[0]["stages"][0]["facts"]["documents"] == 3


def test_the_documents_of_a_file_that_is_moved_away_may_go(chunk, mixed):
    (mixed / "a.jsonl").rename("elsewhere.jsonl")
    assert chunk(mixed, "--text-field", "boddy", db="m").code == 2
    done = chunk(mixed, "--text-field", "boddy", "--prune", db="m")
    assert done.code == 0
    assert "every document was cut again: 1 now in place of 3 before" in done.err


def test_a_file_of_which_something_can_be_read_is_cut_again_and_the_rest_counted(chunk, mixed):
    records = [{"id": "r0", "text": "the boat 0", "body": "a storm"}, {"id": "r1", "text": "a"}]
    write_jsonl(mixed / "a.jsonl", records)
    assert chunk(mixed, db="m").code == 0
    done = chunk(mixed, "--text-field", "body", db="m")
    assert done.code == 3
    assert "2 now in place of 3 before" in done.err


def test_a_file_of_which_nothing_could_ever_be_read_stops_nobody(chunk, mixed):
    (mixed / "b.jsonl").write_text("{nonsense\n")
    assert chunk(mixed, db="m").code == 3
    assert chunk(mixed, "--tokens", 8, db="m").code == 3
    (mixed / "x.txt").write_text("")  # and what was emptied may go
    assert chunk(mixed, "--tokens", 4, db="m").code == 3


def test_an_encoder_that_is_not_known_is_not_called_a_tokenizer(chunk, bodies):
    assert "no encoder is called 'wordlama'" in chunk(bodies, "--encoder", "wordlama").err
    assert not Path("d").exists()
