"""Questions: every shape that the field writes, and nothing of a file is ever run."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.corpus.questions import Question, read_questions, with_answers
from retro_cli.errors import InputNotFound, UnreadableInput, UsageError


def read(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_questions(tmp_path / name)


def test_json_lines_with_answers_with_one_answer_and_with_the_documents_that_hold_it(tmp_path):
    lines = [
        {"id": "a", "question": "Who?", "answers": ["Ines", "Ines C."], "doc_id": "d#0"},
        {"question": "How many?", "answer": 171, "documents": ["x", "y"], "kind": "single"},
        {"question": "And when?", "answer": None},
    ]
    found = read(tmp_path, "q.jsonl", "\n\n".join(map(json.dumps, lines)))
    assert found[0] == Question("a", "Who?", ("Ines", "Ines C."), ("d#0",), lines[0])
    assert (found[1].id, found[1].answers, found[1].documents) == ("3", ("171",), ("x", "y"))
    assert found[1].fields["kind"] == "single"
    assert found[2].answers == ()
    assert with_answers(found, tmp_path) == found[:2]


def test_a_list_of_dpr_and_an_entry_of_kilt(tmp_path):
    dpr = [{"question": "Who?", "answers": ["Ines"], "ctxs": []}]
    assert read(tmp_path, "q.json", json.dumps(dpr))[0].answers == ("Ines",)
    kilt = {"id": "k", "input": "Who?", "output": [{"answer": "Ines"}, {"provenance": []}]}
    assert read(tmp_path, "k.jsonl", json.dumps(kilt))[0].answers == ("Ines",)


def test_the_python_lists_of_dpr_are_parsed_and_never_evaluated(tmp_path):
    rows = ["who sings\t['Ines', \"O'Hara\"]", 'when\t["1841"]', "where\tthe (old) mole"]
    found = read(tmp_path, "q.tsv", "\n".join(rows))
    assert [q.answers for q in found] == [("Ines", "O'Hara"), ("1841",), ("the (old) mole",)]
    assert [q.id for q in found] == ["1", "2", "3"]
    for hostile in ("[__import__('os').getcwd()]", "[open('x')]", "[" * 5000, "['a'"):
        with pytest.raises(UsageError, match="line 1: not a list of answers"):
            read(tmp_path, "h.tsv", f"who\t{hostile}")


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1), min_size=1))
def test_what_python_writes_as_a_list_of_texts_is_read_back(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("q") / "q.tsv"
    cell = '"' + repr(answers).replace('"', '""') + '"'
    path.write_text(f"who\t{cell}\n", encoding="utf-8")
    wanted = dict.fromkeys(text.strip() for text in answers if text.strip())
    assert read_questions(path)[0].answers == tuple(wanted)


@pytest.mark.parametrize(
    ("name", "text", "error", "says"),
    [
        ("q.jsonl", "", InputNotFound, "no questions"),
        ("q.jsonl", '{"question": "x"}\n{"question"', UnreadableInput, "line 2: not JSON"),
        ("q.jsonl", '{"answers": ["x"]}', UsageError, "line 1: no question"),
        ("q.jsonl", "[1]", UsageError, "entry 1: not an object"),
        ("q.jsonl", '{"question": "x", "answers": [["y"]]}', UsageError, "answers are texts"),
        ("q.tsv", "only a question", UsageError, "line 1: 1 columns"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, name, text, error, says):
    with pytest.raises(error, match=says):
        read(tmp_path, name, text)


def test_a_file_that_is_not_there_or_not_utf8_is_refused(tmp_path):
    with pytest.raises(InputNotFound):
        read_questions(tmp_path / "none.jsonl")
    (tmp_path / "q.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableInput, match="UTF-8"):
        read_questions(tmp_path / "q.tsv")


def test_questions_without_any_answer_are_refused(tmp_path):
    found = read(tmp_path, "q.jsonl", '{"question": "Who?"}')
    with pytest.raises(UsageError, match="no question"):
        with_answers(found, tmp_path / "q.jsonl")
