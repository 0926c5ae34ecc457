"""retro generate: what it prints, what it reads, what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from itertools import chain

import pytest
import torch
from generate_helpers import speaking
from helpers import hear_interrupts, write_jsonl

PROMPT = "the keeper of the light"
LESS = ("--max-tokens", 24)


@pytest.fixture(scope="session")
def model(tmp_path_factory, bpe_path):
    """A RETRO model of random weights with a tokenizer, in a folder."""
    folder = tmp_path_factory.mktemp("model")
    speaking(8).save_pretrained(folder)
    shutil.copy(bpe_path, folder / "tokenizer.json")
    return folder


@pytest.fixture
def copied(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copied")


@pytest.fixture
def write(retro, db, model):
    return lambda *args, **rest: retro(
        "generate", db, PROMPT, "--model", model, *LESS, *args, **rest
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- the text ----------------------------------------------------------------------------------


def test_the_text_is_printed_as_it_comes_and_ends_with_a_line(write, monkeypatch):
    written = []
    monkeypatch.setattr(
        "retro_cli.cli.generate_out._Streamed.token", lambda _, t: written.append(t)
    )
    assert write().code == 0
    assert len(written) == LESS[1]
    monkeypatch.undo()
    assert write().out == "".join(token.text for token in written) + "\n"


@pytest.mark.parametrize("how", [(), ("--temperature", 0.9, "--seed", 4), ("--beams", 3)])
def test_streamed_text_is_that_of_json(write, how):
    streamed, record = write(*how), write(*how, "--json")
    (whole,) = record.rows
    assert streamed.out == whole["text"] + "\n"
    assert whole["prompt"] == PROMPT
    assert len(whole["tokens"]) == len(whole["logprobs"]) == LESS[1]
    assert whole["stopped"] == "length"
    assert 0 < whole["seconds"]["retrieval"] < whole["seconds"]["total"]


def test_seeds_differ_and_top_k_of_one_is_greedy(write):
    drawn = [write("--top-p", 0.99, "--seed", seed).out for seed in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert write("--top-k", 1).out == write().out


def test_the_prompt_may_come_from_a_file_or_standard_input(retro, db, model, write, tmp_path):
    (tmp_path / "prompt.txt").write_text(PROMPT + "\n")
    how = (db, "--model", model, *LESS)
    from_file = retro("generate", *how, "--prompt-file", tmp_path / "prompt.txt")
    from_stdin = retro("generate", *how, "--prompt-file", "-", stdin=PROMPT.encode())
    assert from_file.out == from_stdin.out == write().out


def test_no_retrieval_needs_no_database_and_writes_what_the_backbone_does(retro, model, tmp_path):
    how = ("--model", model, *LESS, "--no-retrieval")
    found = retro("generate", tmp_path / "none.db", PROMPT, *how, "--json")
    assert found.code == 0, found.err
    network = speaking(8).backbone
    from tokenizers import Tokenizer

    ids = torch.tensor([Tokenizer.from_file(str(model / "tokenizer.json")).encode(PROMPT).ids])
    plain = network.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=LESS[1], do_sample=False
    )
    assert found.rows[0]["tokens"] == plain[0, ids.shape[1] :].tolist()
    assert found.rows[0]["chunks"] == []


def test_added_weights_find_a_base_that_has_moved(retro, db, write, model, bpe_path, tmp_path):
    network = speaking(8)
    network.backbone.save_pretrained(tmp_path / "base")
    network.config.base_name = str(tmp_path / "elsewhere")
    network.save_pretrained(tmp_path / "added", added_only=True)
    shutil.copy(bpe_path, tmp_path / "base" / "tokenizer.json")
    how = (db, PROMPT, "--model", tmp_path / "added", *LESS)
    assert retro("generate", *how).code == 2
    assert retro("generate", *how, "--base", tmp_path / "base").out == write().out


# -- what was read -----------------------------------------------------------------------------


def test_a_trace_has_a_line_a_token_with_what_it_read(write, tmp_path):
    whole = write("--trace", tmp_path / "t.jsonl", "--json").rows[0]
    found = lines(tmp_path / "t.jsonl")
    assert [line["token"] for line in found] == whole["tokens"]
    assert "".join(line["text"] for line in found) == whole["text"]
    first = whole["prompt_tokens"]
    assert [line["position"] for line in found] == list(range(first, first + LESS[1]))
    for line in found:
        assert line["logprob"] <= 0
        read = whole["chunks"][line["read"]]["neighbours"]
        for mine, its in zip(line["neighbours"], read, strict=True):
            same = ("chunk", "document", "source", "score")
            assert {name: mine[name] for name in same} == {name: its[name] for name in same}
        assert sum(each["mass"] for each in line["neighbours"]) == pytest.approx(1, abs=1e-5)
    reads = [line["read"] for line in found]
    assert reads == sorted(reads)
    assert len(set(reads)) == LESS[1] // 8


def test_a_source_that_is_filtered_out_is_read_no_more(retro, db, write, tmp_path):
    def sources():
        assert write("--trace", tmp_path / "t.jsonl", "-k", 3).code == 0
        return {
            each["source"] for line in lines(tmp_path / "t.jsonl") for each in line["neighbours"]
        }

    before = sources()
    for source in before:
        assert retro("filter", "add", db, "--source", source, "--reason", "test").code == 0
        left = sources()
        assert source not in left
    assert left.isdisjoint(before)


def test_a_source_that_is_filtered_out_in_mid_text_is_read_no_more(
    retro, db, write, tmp_path, monkeypatch
):
    from retro_cli.cli import generate_out

    tell, told, taken = generate_out.tell, [], []

    def tell_and_filter(watchers, token):
        tell(watchers, token)
        told.append(token)
        if len(told) == 5:
            taken.append(token.evidence.hits[0].source)
            assert retro("filter", "add", db, "--source", taken[0], "--reason", "test").code == 0

    monkeypatch.setattr(generate_out, "tell", tell_and_filter)
    done = write("--trace", tmp_path / "t.jsonl")
    assert done.code == 0, done.err
    read = [{n["source"] for n in line["neighbours"]} for line in lines(tmp_path / "t.jsonl")]
    assert taken[0] in read[4]
    assert len(read) == LESS[1]
    assert not any(taken[0] in each for each in read[5:])
    assert all(read[5:])


def test_what_is_filtered_out_everywhere_leaves_the_base_model(retro, db, write, model):
    assert retro("filter", "add", db, "--source", "*", "--reason", "all", "--yes").code == 0
    found = write("--json", "-v")
    assert found.code == 0, found.err
    assert all(chunk["neighbours"] == [] for chunk in found.rows[0]["chunks"])
    assert found.rows[0]["tokens"] == write("--json", "--no-retrieval").rows[0]["tokens"]
    assert "no chunk that may be shown" in write().err


def test_more_neighbours_than_there_are_chunks_are_those_there_are(
    retro, model, static_encoder, tmp_path
):
    write_jsonl(tmp_path / "two.jsonl", [{"text": "the ferry"}, {"text": "the storm"}])
    built = retro(
        "build", tmp_path / "two.jsonl", "--db", tmp_path / "two.db", "--encoder", static_encoder
    )
    assert built.code == 0, built.err
    found = retro(
        "generate", tmp_path / "two.db", PROMPT, "--model", model, *LESS, "-k", 7, "--json"
    )
    assert found.code == 0, found.err
    assert {len(chunk["neighbours"]) for chunk in found.rows[0]["chunks"]} == {2}


@pytest.fixture
def own(retro, archive, model, static_encoder, tmp_path):
    """The archive, cut into chunks of the model's own tokens."""
    path = tmp_path / "own.db"
    how = ("--tokenizer", model, "--cut", "exact", "--tokens", 8, "--encoder", static_encoder)
    for stage in (("chunk", archive, "--db", path, *how), ("embed", path), ("index", path)):
        done = retro(*stage)
        assert done.code == 0, done.err
    return path


def test_tokenising_again_is_said_and_stored_tokens_are_not(retro, own, write, model):
    assert "tokenised again" in write().err
    found = retro("generate", own, PROMPT, "--model", model, *LESS)
    assert found.code == 0
    assert found.err == ""


def test_a_prompt_that_the_database_holds_finds_itself_chunk_by_chunk(retro, own, model, archive):
    text = (archive / "light.txt").read_text()
    found = retro("generate", own, text, "--model", model, *LESS, "--json").rows[0]
    chunks = [chunk for chunk in found["chunks"] if chunk["query"] and chunk["query"] in text]
    assert "".join(chunk["query"] for chunk in chunks) == text
    assert len(chunks) > 5
    same = [chunk["neighbours"][0]["text"] == chunk["query"] for chunk in chunks]
    assert sum(same) >= len(chunks) / 2  # the prompt's chunks end where it ends


def test_a_smaller_step_looks_up_more_often(write):
    chunks = [len(write("--json", *how).rows[0]["chunks"]) for how in ((), ("--retrieval-step", 3))]
    assert chunks[1] - chunks[0] == (LESS[1] - 1) // 3 - (LESS[1] - 1) // 8


def test_show_names_what_was_read_and_keeps_to_the_screen(write, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown, whole = write("--show"), write("--json").rows[0]
    assert shown.code == 0, shown.err
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    read = [list(enumerate(chunk["neighbours"], 1)) for chunk in whole["chunks"][-2:]]
    for number, neighbour in chain.from_iterable(read):
        assert f"[{number}]  {neighbour['score']:.3f}" in shown.out
    # A long source is cut to the screen.
    short = {n["source"] for _, n in chain.from_iterable(read) if len(n["source"]) < 30}
    assert short
    assert all(source in shown.out for source in short)
    assert shown.out.startswith(PROMPT)
    assert "\x1b" not in shown.out


def test_words_in_common_are_marked_with_their_neighbour(capsys):
    import numpy as np
    from generate_helpers import hit

    from retro_cli.cli.generate_show import Page
    from retro_cli.generate.trace import TracedToken
    from retro_cli.readers.interface import Evidence

    known = np.array([[1, 2, 3, -1, -1, -1], [9, 4, 5, 6, 7, 8]], dtype=np.int32)
    evidence = Evidence("a query", (hit(1), hit(2)), known)
    words = {
        3: "And",
        4: " the",
        5: " ferry",
        6: " left",
        7: " at",
        8: " night",
        2: ", says",
        1: " a",
    }
    page = Page("Once.")
    for place, token in enumerate([3, 4, 5, 6, 7, 8, 2, 1]):
        page.token(TracedToken(token, words[token], -1.0, place, 0, evidence, (0.25, 0.75)))
    page.end(None)
    shown = capsys.readouterr().out
    assert "And «the ferry left at night»[2], says a" in shown
    assert "75 %" in shown


def test_verbose_says_how_long_retrieval_took(write):
    assert "% of it retrieval" in write("-v").err


# -- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_refused_with_a_hint(retro, db, model, prompt):
    refused = retro("generate", db, prompt, "--model", model)
    assert (refused.code, refused.out) == (2, "")
    assert "hint:" in refused.err


def test_a_prompt_of_one_token_is_enough(retro, db, model):
    assert retro("generate", db, "t", "--model", model, "--max-tokens", 3).code == 0


@pytest.mark.parametrize(
    "how",
    [
        ("--beams", 2, "--temperature", 1), ("--retrieval-step", 9), ("--top-p", 2),
        ("--reader", "mind"), ("--prompt-file", "nowhere.txt"), ("--max-tokens", 0),
    ],
)  # fmt: skip
def test_wrong_options_end_with_two(write, how):
    refused = write(*how)
    assert refused.code == 2
    assert refused.out == ""


def test_a_database_that_is_not_there_or_not_indexed_is_told(retro, model, tmp_path):
    assert retro("generate", tmp_path / "none.db", PROMPT, "--model", model).code == 2


def test_a_model_that_is_no_retro_model_says_how_to_fit_one(retro, db, bpe_path, tmp_path):
    speaking(8).backbone.save_pretrained(tmp_path / "plain")
    refused = retro("generate", db, PROMPT, "--model", tmp_path / "plain")
    assert refused.code == 2
    assert "retro fit" in refused.err


def test_a_model_half_written_or_without_its_tokenizer_is_told(retro, db, copied, tmp_path):
    def refused():
        return retro("generate", db, PROMPT, "--model", copied)

    (copied / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    assert refused().code == 2
    assert "tokenizer" in refused().err
    (tmp_path / "tokenizer.json").rename(copied / "tokenizer.json")
    weights = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert refused().code == 4
    (copied / "model.safetensors").unlink()
    assert refused().code == 4
    (copied / "config.json").write_text("{")
    assert refused().code == 4
    shutil.rmtree(copied)
    assert refused().code == 2


def test_a_trace_that_cannot_be_written_is_told_before_any_text(write, tmp_path):
    refused = write("--trace", tmp_path)
    assert (refused.code, refused.out) == (2, "")


def test_ctrl_c_leaves_the_text_and_the_trace_so_far(write, monkeypatch, tmp_path):
    from retro_cli.readers.retro import RetroReading

    step, calls = RetroReading.step, []

    def interrupted(self):
        calls.append(1)
        if len(calls) > 10:
            raise KeyboardInterrupt
        return step(self)

    whole = write().out
    monkeypatch.setattr(RetroReading, "step", interrupted)
    ended = write("--trace", tmp_path / "t.jsonl")
    assert ended.code == 130
    text = "".join(line["text"] for line in lines(tmp_path / "t.jsonl"))
    assert len(lines(tmp_path / "t.jsonl")) == 10
    assert ended.out == text + "\n"
    assert whole.startswith(text)


@pytest.mark.slow
def test_a_signal_or_a_closed_pipe_ends_a_running_text(db, model, tmp_path):
    endless = tmp_path / "endless"  # so that no text is over before the signal comes
    shutil.copytree(model, endless)
    config = json.loads((endless / "config.json").read_text())
    config["base_config"]["max_position_embeddings"] = 1 << 20
    (endless / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "retro_cli", "generate", db, PROMPT, "--model", endless,
               "--max-tokens", "1000000"]  # fmt: skip
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=hear_interrupts,
    ) as running:  # fmt: skip
        first = running.stdout.read(1)
        running.send_signal(signal.SIGINT)
        rest, said = running.communicate(timeout=120)
        assert first + rest
        assert running.returncode == 130, said
        assert b"Traceback" not in said
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdout.read(1)
        running.stdout.close()
        said = running.stderr.read()
        assert running.wait(120) == 0
        assert b"Error" not in said
