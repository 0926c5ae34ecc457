"""retro train-reader and retro train-encoder, and what retro does with what they write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from fact_helpers import ENTITIES, RELATIONS, VALUES, bart_folder, encoder_folder, fact
from helpers import fingerprint, process, write_jsonl
from mixture_helpers import saved
from realm_helpers import TEXTS, masked_folder, word_encoder

from retro_cli import Database
from retro_cli.training.metrics import read_metrics

SHORT = ["--steps", 4, "--batch", 2, "--save-every", 2, "--learning-rate", 0.01, "--warmup", 1]
KEYS = zip(ENTITIES, RELATIONS * 4, strict=True)
FACTS = {key: VALUES[(7 * n) % 30] for n, key in enumerate(KEYS)}


@pytest.fixture
def facts(retro, tmp_path):
    """A database of facts, questions about them, and a reader that knows nothing yet."""
    records = [{"id": f"{e}-{r}", "title": e, "text": fact(e, r, v)} for (e, r), v in FACTS.items()]
    write_jsonl(tmp_path / "facts.jsonl", records)
    asked = [
        {"question": f"{e} {r}", "answers": [v], "documents": [f"{e}-{r}"]}
        for (e, r), v in FACTS.items()
    ]
    write_jsonl(tmp_path / "asked.jsonl", [*asked, {"question": "isle0 has3", "answers": []}])
    encoder = encoder_folder(tmp_path / "encoder")
    built = retro("build", "facts.jsonl", "--db", "f.db", "--encoder", encoder, "--tokens", 8)
    assert built.code == 0, built.err
    bart_folder(tmp_path / "bart")
    return tmp_path / "f.db"


def learn(retro, *more, db="f.db", model="bart", out="reader"):
    asked = ["--questions", "asked.jsonl", "--model", model, "--out", out]
    return retro("train-reader", db, *asked, *SHORT, "-k", 3, *more)


@pytest.mark.parametrize("objective", ["rag-token", "rag-sequence"])
def test_a_reader_learns_and_not_a_byte_of_the_database_changes(retro, facts, objective, tmp_path):
    before = fingerprint(facts)
    told = learn(retro, "--objective", objective, "--doc-temperature", 0.2)
    assert told.code == 0, told.err
    assert fingerprint(facts) == before
    assert "1 question without an answer left out" in told.err
    assert "Next: retro generate" in told.err
    out = tmp_path / "reader"
    assert {path.name for path in out.iterdir()} >= {
        "config.json", "model.safetensors", "tokenizer.json", "query-encoder", "training.json",
        "metrics.jsonl", "loss.svg",
    }  # fmt: skip
    assert [line["step"] for line in read_metrics(out / "metrics.jsonl")] == [0, 1, 2, 3]
    record = json.loads((out / "training.json").read_text())
    assert record["reader"] == {"objective": objective, "k": 3, "doc_temperature": 0.2}
    assert str(tmp_path) not in json.dumps(record)

    with Database.open(facts, out / "query-encoder") as learned, Database.open(facts) as own:
        both = [each.encoder.encode_queries(["isle3 has2"]) for each in (learned, own)]
    assert not np.array_equal(*both)
    written = retro(
        "generate", facts, "isle3 has2", "--reader", objective, "--model", out, "--json"
    )
    assert written.code == 0, written.err
    (generated,) = written.rows
    assert len(generated["chunks"][0]["neighbours"]) == 3


def test_a_reader_is_used_with_its_own_query_encoder_only_where_it_fits(retro, facts, tmp_path):
    assert learn(retro).code == 0
    other = word_encoder(tmp_path / "other")
    assert retro("build", "facts.jsonl", "--db", "o.db", "--encoder", other).code == 0
    asked = ["generate", "o.db", "isle3 has2", "--reader", "rag-token", "--model", "reader"]
    told = retro(*asked)
    assert told.code == 0, told.err
    assert "encoded otherwise" in told.err
    refused = retro(*asked, "--query-encoder", "reader/query-encoder")
    assert refused.code == 2
    assert "was trained for documents" in refused.err


def test_a_finished_run_is_left_alone_and_another_needs_another_folder(retro, facts, tmp_path):
    told = learn(retro, "--json")
    (report,) = told.rows
    assert report["questions"] == 20
    assert report["outcome"]["steps"] == 4
    assert report["retrieval"]["apart"] > 1
    assert report["collapsed"] is False
    before = fingerprint(tmp_path / "reader")
    again = learn(retro, "--json")
    assert again.code == 0
    assert again.rows[0]["outcome"] is None
    assert learn(retro, "--seed", 1).code == 2
    assert fingerprint(tmp_path / "reader") == before
    replaced = learn(retro, "--seed", 1, "--overwrite")
    assert replaced.code == 0, replaced.err
    assert fingerprint(tmp_path / "reader") != before


def test_a_database_that_changed_is_another_run(retro, facts, tmp_path):
    assert learn(retro).code == 0
    assert retro("filter", "add", facts, "--doc", "isle3-has3", "--reason", "wrong").code == 0
    refused = learn(retro)
    assert refused.code == 2
    assert "another training run" in refused.err


KILLED = """
import os, signal, sys
from retro_cli.training.course import Course
record = Course._record
def dying(self, step, *rest):
    record(self, step, *rest)
    if step == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Course._record = dying
sys.argv = ["retro", *{args!r}]
from retro_cli.cli.app import main
main()
"""


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(facts, tmp_path):
    alike = {"OMP_NUM_THREADS": "1"}  # sums of floats depend on the number of threads

    def asked(out):
        return ["train-reader", "f.db", "--questions", "asked.jsonl", "--model", "bart", "--out",
                out, *map(str, SHORT), "-k", "3"]  # fmt: skip

    assert process(*asked("whole"), env=alike).returncode == 0
    script = KILLED.format(args=asked("killed"))
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**os.environ, **alike}
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    told = process(*asked("killed"), env=alike)
    assert told.returncode == 0, told.stderr
    assert "resuming after step 2 of 4" in told.stderr
    for name in ("model.safetensors", "query-encoder/model.safetensors"):
        killed, whole = (tmp_path / run / name for run in ("killed", "whole"))
        assert killed.read_bytes() == whole.read_bytes()
    curves = [
        [line["loss"] for line in read_metrics(tmp_path / run / "metrics.jsonl")]
        for run in ("killed", "whole")
    ]
    assert curves[0] == curves[1]


def test_a_causal_model_learns_to_answer_too(retro, db, bpe_path, tmp_path):
    saved("llama", bpe_path, tmp_path / "llama")
    write_jsonl(tmp_path / "asked.jsonl", [{"question": "who saw the boat", "answer": "keeper"}])
    told = learn(retro, db=db, model="llama")
    assert told.code == 0, told.err
    losses = [line["loss"] for line in read_metrics(tmp_path / "reader" / "metrics.jsonl")]
    assert losses[-1] < losses[0]


@pytest.fixture
def isles(retro, tmp_path):
    write_jsonl(tmp_path / "isles.jsonl", [{"id": f"d{n}", "text": t} for n, t in enumerate(TEXTS)])
    encoder = word_encoder(tmp_path / "words")
    built = retro("build", "isles.jsonl", "--db", "i.db", "--encoder", encoder, "--tokens", 32)
    assert built.code == 0, built.err
    masked_folder(tmp_path / "bert")
    return tmp_path / "i.db"


def test_realm_trains_both_encoders_and_the_database_is_embedded_anew_with_one(
    retro, isles, tmp_path
):
    before = fingerprint(isles)
    told = retro(
        "train-reader", isles, "--objective", "realm", "--model", "bert", "--out", "filler", *SHORT,
        "-k", 3, "--refresh", 1,
    )  # fmt: skip
    assert told.code == 0, told.err
    assert fingerprint(isles) == before
    assert json.loads((tmp_path / "filler" / "training.json").read_text())["refreshed"] == 2
    sentence = "the [MASK] of isle 3"
    assert "encoded otherwise" in retro("fill", isles, sentence, "--model", "filler").err
    stale = retro("fill", isles, sentence, "--model", "filler", "--json")
    assert stale.code == 0, stale.err
    assert retro("embed", isles, "--encoder", "filler/document-encoder").code == 0
    assert retro("index", isles).code == 0
    assert "encoded otherwise" not in retro("fill", isles, sentence, "--model", "filler").err
    fresh = retro("fill", isles, sentence, "--model", "filler", "--json")
    assert fresh.code == 0, fresh.err
    scores = [each.rows[0]["documents"][0]["score"] for each in (stale, fresh)]
    assert scores[0] != scores[1]


def test_realm_learns_from_questions_with_their_answers_masked(retro, isles):
    write_jsonl(isles.parent / "asked.jsonl", [{"question": "who lit the lamp", "answer": "Ines"}])
    told = learn(retro, "--objective", "realm", db=isles, model="bert", out="filler")
    assert told.code == 0, told.err


@pytest.mark.parametrize(
    ("objective", "model", "says"),
    [
        ("rag-token", "bert", "a masked language model, which the reader --objective rag-token"),
        ("rag-sequence", "bert", "cannot use"),
        ("realm", "bart", "a sequence-to-sequence language model"),
    ],
)
def test_a_model_of_the_wrong_kind_is_refused_and_the_right_one_named(
    retro, facts, tmp_path, objective, model, says
):
    masked_folder(tmp_path / "bert")
    refused = learn(retro, "--objective", objective, model=model)
    assert refused.code == 2
    assert says in refused.err
    assert ("a masked one" if objective == "realm" else "a sequence-to-sequence one") in refused.err
    assert not (tmp_path / "reader").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"question": "who?"}\n', "no question of asked.jsonl has an answer"),
        ("", "holds no questions"),
        ('{"answers": ["x"]}\n', "line 1: no text"),
    ],
)
@pytest.mark.parametrize("command", ["train-reader", "train-encoder"])
def test_questions_that_cannot_be_learned_from_are_refused(
    retro, facts, tmp_path, text, says, command
):
    (tmp_path / "asked.jsonl").write_text(text)
    model = ["--model", "bart"] if command == "train-reader" else []
    refused = retro(command, facts, "--questions", "asked.jsonl", "--out", "out", *model, *SHORT)
    assert refused.code == 2
    assert says in refused.err
    assert not (tmp_path / "out").exists()


def test_what_makes_no_sense_is_refused(retro, facts):
    for more in (
        ["--objective", "fid"], ["--doc-temperature", 0], ["--steps", 0], ["--learning-rate", 2],
    ):  # fmt: skip
        assert learn(retro, *more).code == 2
    refused = retro("train-reader", facts, "--model", "bart", "--out", "reader")
    assert refused.code == 2
    assert "--questions" in refused.err


def test_the_python_lists_of_dpr_are_learned_from(retro, facts, tmp_path):
    lines = [f"{e} {r}\t['{v}', \"another\"]" for (e, r), v in FACTS.items()]
    (tmp_path / "asked.tsv").write_text("\n".join(lines))
    told = retro(
        "train-reader", facts, "--questions", "asked.tsv", "--model", "bart", "--out", "r", *SHORT
    )
    assert told.code == 0, told.err


def test_a_trained_encoder_embeds_the_database_and_finds_what_was_asked(retro, facts, tmp_path):
    """Questions in the words of the values: nothing that the encoder's vectors know of."""
    asked = [
        {"question": v, "answers": [v], "documents": [f"{e}-{r}"]} for (e, r), v in FACTS.items()
    ]
    write_jsonl(tmp_path / "asked.jsonl", asked)
    long = ["--steps", 40, "--batch", 10, "--learning-rate", 0.05, "--warmup", 2]
    told = retro("train-encoder", facts, "--questions", "asked.jsonl", "--out", "e", *long)
    assert told.code == 0, told.err
    assert "20 questions" in told.err
    assert "retro embed" in told.err
    copied = retro("embed", facts, "--encoder", "e")
    assert copied.code == 0, copied.err
    assert retro("index", facts).code == 0
    for (entity, relation), value in list(FACTS.items())[:5]:
        best = retro("query", facts, value, "-k", 1, "--json").rows[0]["hits"][0]
        assert best["document"] == f"{entity}-{relation}"


def test_two_towers_are_two_folders_that_fit_each_other_and_no_other(retro, facts, tmp_path):
    told = retro(
        "train-encoder", facts, "--questions", "asked.jsonl", "--out", "towers", "--two-towers",
        *SHORT,
    )  # fmt: skip
    assert told.code == 0, told.err
    queries = ["--query-encoder", "towers/query-encoder"]
    assert retro("query", facts, "isle3 has2", *queries).code == 2
    assert retro("embed", facts, "--encoder", "towers/document-encoder").code == 0
    assert retro("index", facts).code == 0
    found = retro("query", facts, "isle3 has2", *queries)
    assert found.code == 0, found.err


def test_questions_about_something_else_train_no_encoder(retro, facts, tmp_path):
    write_jsonl(tmp_path / "asked.jsonl", [{"question": "who sings?", "answers": ["Nobody"]}])
    refused = retro("train-encoder", facts, "--questions", "asked.jsonl", "--out", "e", *SHORT)
    assert refused.code == 2
    assert "no chunk holds an answer" in refused.err
    assert not any((tmp_path / "e").glob("*"))
