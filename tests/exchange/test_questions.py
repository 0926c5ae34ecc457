"""Questions of every data set's form, and what is said of files that hold none."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import InputNotFound, UsageError
from retro_cli.exchange.questions import (
    Question,
    all_questions,
    python_strings,
    read_questions,
    with_answers,
)


@pytest.fixture
def questions(tmp_path):
    """The questions of a file with this content."""

    def read(name, content):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return list(read_questions(str(tmp_path / name)))

    return read


KILT = {
    "id": "k1", "input": "who keeps the light?",
    "output": [
        {"answer": "Ines", "provenance": [{"wikipedia_id": "42", "start_paragraph_id": 3}]},
        {"answer": "Ines"}, {"provenance": [{"wikipedia_id": "43"}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"_id": "b", "text": "who?"}, Question("b", "who?")),
        (KILT, Question("k1", "who keeps the light?", ("Ines",), ("42", "43"))),
        (
            {"question": "who?", "answers": ["a", "b", "a"], "doc_id": "d"},
            Question("1", "who?", ("a", "b"), ("d",)),
        ),
        (
            {"id": 0, "question": "who?", "answers": {"text": ["a"], "answer_start": [3]}},
            Question("0", "who?", ("a",)),
        ),
        (
            {"question": "who?", "answer": 7, "positive_ctxs": [{"passage_id": "p", "text": "t"}]},
            Question("1", "who?", ("7",), ("p",)),
        ),
        ({"id": "f", "question": "who?", "target": "a"}, Question("f", "who?", ("a",))),
    ],
    ids=["beir", "kilt", "squad20", "squad", "dpr", "fid"],
)
def test_a_record_of_each_kind_as_a_line_and_in_a_list(questions, record, expected):
    assert questions("q.jsonl", json.dumps(record)) == [expected]
    assert questions("q.json", json.dumps([record], indent=4)) == [expected]
    assert questions("q.jsonl.gz", gzip.compress(json.dumps(record).encode())) == [expected]


def test_tables_of_ms_marco_and_of_dpr(questions):
    assert questions("q.tsv", 'query_id\tquery\n7\twhat is "x"\n8\t"quoted"\n') == [
        Question("7", 'what is "x"'),
        Question("8", '"quoted"'),
    ]
    rows = ["who?\t['Ann', \"O'Hara\"]", 'what?\t"[""a b"", \'c\']"', "none?\t[]"]
    assert questions("nq-test.qa.csv", "\n".join(rows)) == [
        Question("1", "who?", ("Ann", "O'Hara")),
        Question("2", "what?", ("a b", "c")),
        Question("3", "none?"),
    ]
    assert questions("q.tsv", "question\tanswers\nwho?\t['a']\n") == [Question("2", "who?", ("a",))]


def test_a_tab_in_a_file_of_plain_lines_is_a_part_of_the_question(questions):
    assert questions("q.txt", "a\tb\n\nc\n[d\n") == [
        Question("1", "a\tb"),
        Question("3", "c"),
        Question("4", "[d"),
    ]


HOSTILE = [
    "__import__('os').system('touch /tmp/owned')",
    "['a'] + [open('/etc/passwd').read()]",
    "[x for x in ['a']]",
    "['a', b'b']",
    "['a', None]",
    "['a', ['b']]",
    "['a'",
    "{'a': 1}",
    "'a'",
    "[" * 100_000,
    "[" + "-" * 100_000 + "1]",
    "['" + "a" * (1 << 21) + "']",
]


@pytest.mark.parametrize("literal", HOSTILE, ids=range(len(HOSTILE)))
def test_answers_are_parsed_and_never_evaluated(literal):
    with pytest.raises(ValueError, match="answer"):
        python_strings(literal)


@given(st.lists(st.text()))
def test_answers_come_back_from_how_python_writes_them(answers):
    assert python_strings(repr(answers)) == tuple(dict.fromkeys(answers))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("q.jsonl", '{"text": "a"}\n{"text": ', "line 2"),
        ("q.jsonl", '{"id": "a"}', "line 1: no text"),
        ("q.jsonl", '{"text": ' + "[" * 50_000, "line 1: "),
        ("q.jsonl", '{"text": "a", "answers": [null]}', "line 1: an answer"),
        ("q.json", "[{", "not valid JSON"),
        ("q.json", "[\n" + "[" * 50_000, "not valid JSON"),
        ("q.json", '[{"text": "a"}, 7]', "item 2: not a JSON object"),
        ("q.tsv", "1\ta\nb", "line 2: no tab"),
        ("q.tsv", "who?\t['a']\nwhat?\t['a', nothing]", "line 2: not a list of answers"),
        ("q.txt", b"caf\xe9", "is not UTF-8"),
    ],
)
def test_what_is_no_question_is_told_with_its_line(questions, name, content, says):
    with pytest.raises(UsageError) as told:
        questions(name, content)
    assert says in told.value.message


def test_what_cannot_be_opened_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(InputNotFound, match="no file"):
        read_questions(str(tmp_path / "none.jsonl"))
    broken = tmp_path / "q.jsonl.gz"
    broken.write_bytes(gzip.compress(b'{"text": "a"}\n' * 1000)[:40])
    with pytest.raises(InputNotFound, match="cannot be read"):
        list(read_questions(str(broken)))


def test_a_set_needs_a_question_and_an_id_for_each(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text("\n \n")
    with pytest.raises(UsageError, match="holds no questions"):
        all_questions(str(path))
    path.write_text('{"id": "a", "text": "b"}\n{"id": "a", "text": "c"}\n')
    with pytest.raises(UsageError, match="two questions have the id 'a'"):
        all_questions(str(path))
    assert all_questions(str(path), 1) == [Question("a", "b")]


def test_all_that_an_object_says_is_kept_with_the_documents_that_it_names(tmp_path):
    asked = {"question": "How many?", "answer": 171, "documents": ["x", "y"], "kind": "single"}
    (tmp_path / "q.jsonl").write_text(json.dumps(asked))
    (found,) = all_questions(str(tmp_path / "q.jsonl"))
    assert (found.answers, found.documents, found.fields) == (("171",), ("x", "y"), asked)


def test_a_cell_of_answers_may_be_one_plain_answer(tmp_path):
    (tmp_path / "q.tsv").write_text("who\t['Ines']\nwhere\tthe old mole\n")
    found = all_questions(str(tmp_path / "q.tsv"))
    assert [question.answers for question in found] == [("Ines",), ("the old mole",)]


def test_only_questions_with_answers_can_be_learned_from():
    known, unknown = Question("1", "Who?", ("Ines",)), Question("2", "Why?")
    assert with_answers([known, unknown], "q.jsonl") == [known]
    with pytest.raises(UsageError, match="no question of"):
        with_answers([unknown], "q.jsonl")
