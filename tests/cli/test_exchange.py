"""What goes out in the forms of other projects comes in again as it was."""

from __future__ import annotations

import csv
import json

import pytest
from helpers import write_jsonl

KILT = [
    {
        "wikipedia_id": "42", "wikipedia_title": "Light", "categories": "",
        "text": ["Light\n", "The keeper of the light slept.\n", "The storm took the boat."],
    },
    {"wikipedia_id": "43", "wikipedia_title": "Ferry", "text": ["Ferry\n", "The ferry left.\n"]},
]  # fmt: skip


def built(retro, encoder, source, name):
    done = retro("build", source, "--db", name, "--encoder", encoder, "--tokens", 8)
    assert done.code == 0, done.err
    return name


def exported(retro, tmp_path, database, shape, *words):
    out = tmp_path / f"{database}.{shape}"
    done = retro("export", database, out, "--format", shape, "--json", *words)
    assert done.code == 0, done.err
    path = out / "corpus.jsonl" if shape == "beir" else out
    text = path.read_text(encoding="utf-8")
    assert done.rows[0]["rows"] == len(text.splitlines()) - (shape == "dpr")
    return out, text


@pytest.fixture
def source(tmp_path):
    """Records with all that is hard to write: lines, quotes, tabs, other scripts, two alike."""
    texts = ["the ferry\tleft the harbour", 'the keeper said "storm"\n\nand slept', "die Fähre 🚢",
             "the boat", "the boat", "'''quoted'''"]  # fmt: skip
    return write_jsonl(
        tmp_path / "in.jsonl",
        [{"id": f"d{n}", "title": f'T "{n}"', "text": text, "year": 1990 + n}
         for n, text in enumerate(texts)],
    )  # fmt: skip


@pytest.mark.parametrize("shape", ["beir", "kilt"])
def test_documents_come_back_as_they_were(retro, static_encoder, source, tmp_path, shape):
    out, first = exported(retro, tmp_path, built(retro, static_encoder, source, "a"), shape)
    given = [json.loads(line) for line in source.read_text().splitlines()]
    if shape == "beir":
        records = [json.loads(line) for line in first.splitlines()]
        assert [(r["_id"], r["title"], r["text"]) for r in records] == [
            (g["id"], g["title"], g["text"]) for g in given
        ]
        assert [r["metadata"]["year"] for r in records] == [g["year"] for g in given]
    name = out if shape == "beir" else out.rename(tmp_path / "again.jsonl")
    _, second = exported(retro, tmp_path, built(retro, static_encoder, name, "b"), shape)
    texts = ("text", "title", "_id", "wikipedia_title", "wikipedia_id")
    for one, two in zip(first.splitlines(), second.splitlines(), strict=True):
        same = [{k: json.loads(line).get(k) for k in texts} for line in (one, two)]
        assert same[0] == same[1]


@pytest.mark.parametrize(("shape", "name"), [("msmarco", "c.tsv"), ("dpr", "p.tsv")])
def test_tables_come_back_but_for_white_space(retro, static_encoder, source, tmp_path, shape, name):
    out, first = exported(retro, tmp_path, built(retro, static_encoder, source, "a"), shape)
    out.rename(tmp_path / name)
    retro("chunk", name, "--db", "b", "--encoder", static_encoder, "--tokens", 60)
    again = tmp_path / "b.beir"
    assert retro("export", "b", again, "--format", "beir").code == 0
    records = [json.loads(line) for line in (again / "corpus.jsonl").read_text().splitlines()]
    if shape == "msmarco":
        rows = [line.split("\t") for line in first.splitlines()]
    else:
        rows = list(csv.reader(first.splitlines(), delimiter="\t"))[1:]
    assert [(r["_id"], r["text"]) for r in records] == [(row[0], row[1]) for row in rows]
    if shape == "dpr":
        assert first.startswith("id\ttext\ttitle\n")
        assert [r["title"] for r in records] == [row[2] for row in rows]
        assert rows[0][0] == "d0#0"


def test_passages_of_atlas_join_to_the_documents(retro, static_encoder, source, tmp_path):
    _, text = exported(retro, tmp_path, built(retro, static_encoder, source, "a"), "atlas")
    joined: dict[str, str] = {}
    for record in map(json.loads, text.splitlines()):
        document, _, place = record["id"].partition("#")
        assert (place == "0") == (document not in joined)
        joined[document] = joined.get(document, "") + record["text"]
    given = [json.loads(line) for line in source.read_text().splitlines()]
    assert joined == {g["id"]: g["text"] for g in given}


def test_a_page_of_kilt_is_its_paragraphs_and_a_hit_knows_which(retro, static_encoder, tmp_path):
    database = built(retro, static_encoder, write_jsonl(tmp_path / "kilt.jsonl", KILT), "k")
    _, text = exported(retro, tmp_path, database, "kilt")
    pages = [json.loads(line) for line in text.splitlines()]
    assert [page["text"] for page in pages] == [
        [paragraph.strip("\n") for paragraph in page["text"]] for page in KILT
    ]
    question = {"id": "q", "input": "storm took the boat", "output": [{"answer": "the storm"}]}
    write_jsonl(tmp_path / "q.jsonl", [question])
    found = retro("query", database, "--queries", "q.jsonl", "-k", 9, "--format", "kilt").rows
    (record,) = found
    assert (record["id"], record["input"]) == ("q", "storm took the boat")
    for item in record["output"][0]["provenance"]:
        (page,) = [each for each in pages if each["wikipedia_id"] == item["wikipedia_id"]]
        first, last = item["start_paragraph_id"], item["end_paragraph_id"]
        lines = page["text"][first : last + 1]
        lines[-1] = lines[-1][: item["end_character"]]
        lines[0] = lines[0][item["start_character"] :]
        assert "\n".join(lines) == item["text"].rstrip()


def test_answers_for_other_readers(retro, db, tmp_path):
    (tmp_path / "q.tsv").write_text("where is boat 3?\t['KEEPER', 'nobody']\nwho?\t[]\n")
    ask = ["query", db, "--queries", "q.tsv", "-k", 100, "--format"]
    dpr, fid = (json.loads(retro(*ask, shape).out) for shape in ("dpr", "fid"))
    assert [each["answers"] for each in dpr] == [["KEEPER", "nobody"], []]
    assert [each["target"] for each in fid] == ["KEEPER", ""]
    assert [each["ctxs"] for each in dpr] == [each["ctxs"] for each in fid]
    hits = retro(*ask, "json").rows
    for each, row in zip(dpr, hits, strict=True):
        assert set(each) == {"question", "answers", "ctxs"}
        assert [float(ctx["score"]) for ctx in each["ctxs"]] == pytest.approx(
            [hit["score"] for hit in row["hits"]]
        )
        assert [ctx["id"] for ctx in each["ctxs"]] == [
            f"{hit['document']}#{hit['position']}" for hit in row["hits"]
        ]
    marked = [ctx["has_answer"] for ctx in dpr[0]["ctxs"]]
    assert marked == ["keeper" in ctx["text"].split() for ctx in dpr[0]["ctxs"]]
    assert set(marked) == {True, False}
    assert not any(ctx["has_answer"] for ctx in dpr[1]["ctxs"])
    (tmp_path / "dpr.json").write_text(json.dumps(dpr))
    again = retro("query", db, "--queries", "dpr.json", "-k", 100, "--format", "dpr")
    assert json.loads(again.out) == dpr


def test_no_question_is_an_empty_list(retro, db, tmp_path):
    (tmp_path / "none.txt").write_text("")
    assert json.loads(retro("query", db, "--queries", "none.txt", "--format", "fid").out) == []


def test_an_ms_marco_run_ranks_documents(retro, db):
    out = retro("query", db, "the ferry", "-k", 4, "--format", "msmarco").out
    rows = [line.split("\t") for line in out.splitlines()]
    hits = retro("query", db, "the ferry", "-k", 4, "--level", "doc", "--json").rows[0]["hits"]
    assert rows == [["1", hit["document"], str(hit["rank"])] for hit in hits]


def test_what_rules_take_is_not_exported_unless_asked_for(retro, db, tmp_path):
    everything = exported(retro, tmp_path, db, "atlas")[1]
    assert retro("filter", "add", db, "--source", "forum", "--reason", "x").code == 0
    left = exported(retro, tmp_path, db, "atlas")[1]
    gone = set(everything.splitlines()) - set(left.splitlines())
    assert {json.loads(line)["id"].split("#")[0] for line in gone} == {
        f"p{n}" for n in range(0, 10, 2)
    }
    assert exported(retro, tmp_path, db, "atlas", "--with-filtered")[1] == everything


def test_a_folder_of_beir_holds_queries_and_judgements_too(retro, db, static_encoder, tmp_path):
    write_jsonl(tmp_path / "q.jsonl", [{"id": f"q{n}", "question": "boat?", "doc_id": f"p{n}"}
                                       for n in range(3)])  # fmt: skip
    out, _ = exported(retro, tmp_path, db, "beir", "--queries", "q.jsonl")
    files = ["--queries", out / "queries.jsonl", "--qrels", out / "qrels" / "test.tsv"]
    again = built(retro, static_encoder, out, "again")
    found, expected = (
        retro("eval", "retrieval", *words, "--resamples", 100, "--json").rows[0]["measures"]
        for words in ((again, *files), (again, "--queries", "q.jsonl"))
    )
    assert found == expected


def test_documents_with_one_name_are_told_apart(retro, static_encoder, tmp_path):
    (tmp_path / "in").mkdir()
    for name, text in (("a", "the ferry"), ("b", "the keeper")):
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", [{"id": "same", "text": text}])
    _, text = exported(retro, tmp_path, built(retro, static_encoder, "in", "s"), "beir")
    assert [json.loads(line)["_id"] for line in text.splitlines()] == ["same", "same~2"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["out", "--format", "word"], "choose one of beir"),
        (["out.jsonl", "--queries", "q"], "add --format beir"),
        (["out", "--format", "dpr", "--qrels", "q"], "add --format beir"),
        (["out", "--format", "beir", "--vectors"], "no vectors"),
        (["out", "--format", "beir", "--queries", "none"], "no file none"),
        (["taken", "--format", "beir"], "is a file"),
        (["folder", "--format", "dpr"], "is a folder"),
    ],
)
def test_what_cannot_be_exported_is_told(retro, db, tmp_path, words, says):
    (tmp_path / "taken").write_text("kept")
    (tmp_path / "folder").mkdir()
    refused = retro("export", db, *words)
    assert (refused.code, says in refused.err) == (2, True), refused.err
    assert "defect" not in refused.err
    assert (tmp_path / "taken").read_text() == "kept"
