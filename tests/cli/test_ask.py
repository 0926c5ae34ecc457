"""retro ask and retro eval qa: answers, citations, what is marked, what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
from chat_server import serving, streamed
from generate_helpers import speaking
from helpers import process, write_jsonl
from reader_helpers import saved_language_model

from retro_cli.database import Database
from retro_cli.errors import NotBuiltYet

QUESTION = "what did the keeper of the light see"


@pytest.fixture(scope="session")
def model(tmp_path_factory, bpe_path):
    return saved_language_model(tmp_path_factory.mktemp("lm"), bpe_path, chat=True, window=4096)


@pytest.fixture
def ask(retro, db, model):
    return lambda *args, **rest: retro("ask", db, *args, "--model", model, **rest)


@pytest.fixture
def server():
    with serving() as served:
        yield served


# -- answers ------------------------------------------------------------------------------------


def test_an_answer_is_a_span_of_a_passage_that_it_quotes(ask):
    found = ask(QUESTION, "--least", 0, "--json")
    assert found.code == 0, found.err
    (reply,) = found.rows
    assert reply["found"]
    assert 0 <= reply["confidence"] <= 1
    hits = reply["evidence"]
    for citation in reply["citations"]:
        hit = hits[citation["number"] - 1]
        text = hit["text"] + hit["continuation"]
        assert citation["verbatim"]
        assert citation["chunk"] == hit["chunk"]
        begin = citation["start"] - hit["start"]
        assert text[begin : begin + len(citation["quote"])] == citation["quote"]
        assert reply["answer"].lower() in citation["quote"].lower()


def test_people_see_the_answer_its_quote_and_where_that_stands(ask):
    found = ask(QUESTION, "--least", 0)
    reply = ask(QUESTION, "--least", 0, "--json").rows[0]
    first, *rest = found.out.splitlines()
    assert first.startswith(reply["answer"])
    assert first.endswith("]")
    assert reply["citations"][0]["quote"].split()[0] in "\n".join(rest)


def test_what_is_not_in_the_sources_is_said_to_be_so(ask):
    found = ask(QUESTION, "--least", 1)
    assert (found.code, found.out) == (0, "not in the sources\n")
    (reply,) = ask(QUESTION, "--least", 1, "--json").rows
    assert (reply["answer"], reply["found"], reply["citations"]) == ("", False, [])
    assert reply["evidence"]


def test_a_source_that_is_filtered_out_is_in_no_evidence(retro, db, ask):
    before = {hit["source"] for hit in ask(QUESTION, "--json").rows[0]["evidence"]}
    for source in before:
        assert retro("filter", "add", db, "--source", source, "--reason", "test").code == 0
    after = {hit["source"] for hit in ask(QUESTION, "--json").rows[0]["evidence"]}
    assert after
    assert after.isdisjoint(before)


def test_an_empty_database_answers_nothing_and_says_why(retro, db, ask):
    assert retro("filter", "add", db, "--source", "*", "--reason", "all", "--yes").code == 0
    found = ask(QUESTION)
    assert found.out == "not in the sources\n"
    assert "no chunk that may be shown" in found.err


def test_many_questions_come_from_a_file_or_standard_input(ask, tmp_path):
    write_jsonl(
        tmp_path / "q.jsonl", [{"id": "a", "question": "who?"}, {"id": "b", "text": "why?"}]
    )
    found = ask("--queries", "q.jsonl", "--json")
    assert [row["id"] for row in found.rows] == ["a", "b"]
    piped = ask("--queries", "-", stdin=b"who?\nwhy?\n")
    assert piped.code == 0, piped.err
    assert "who?" in piped.out
    assert "why?" in piped.out


def test_a_line_that_is_no_question_does_not_end_the_stream(ask):
    found = ask("--queries", "-", "--json", stdin=b"who?\n\n{\nwhy?\n")
    assert found.code == 3
    assert [row["id"] for row in found.rows] == ["1", "2", "3", "4"]
    assert ["error" in row for row in found.rows] == [False, True, True, False]


def test_one_source_alone_can_be_asked(ask):
    (reply,) = ask(QUESTION, "--source", "*light.txt", "--json").rows
    assert {hit["source"] for hit in reply["evidence"]} == {reply["evidence"][0]["source"]}


def test_a_database_without_a_lexical_index_is_asked_by_vectors(ask, monkeypatch):
    asked = []
    plain = Database.finder

    def finder(self, search=None, **how):
        asked.append(search.retriever)
        if search.retriever == "hybrid":
            raise NotBuiltYet("no lexical index", "retro index")
        return plain(self, search, **how)

    monkeypatch.setattr(Database, "finder", finder)
    assert ask(QUESTION, "--json").rows[0]["evidence"]
    assert asked == ["hybrid", "dense"]
    assert ask(QUESTION, "--retriever", "hybrid").code == 2


@pytest.mark.parametrize("name", ["in-context", "closed-book"])
def test_a_model_may_write_the_answer_itself(ask, name):
    (reply,) = ask(QUESTION, "--reader", name, "--max-tokens", 6, "--json").rows
    assert reply["text"]
    assert bool(reply["evidence"]) == (name == "in-context")


def test_a_closed_book_needs_no_database(retro, model, tmp_path):
    how = ("--reader", "closed-book", "--model", model, "--max-tokens", 4)
    assert retro("ask", tmp_path / "none.db", QUESTION, *how).code == 0


def test_the_retro_reader_is_asked_like_any_other(retro, db, bpe_path, tmp_path):
    speaking(8).save_pretrained(tmp_path / "m")
    shutil.copy(bpe_path, tmp_path / "m" / "tokenizer.json")
    how = ("--reader", "retro", "--model", tmp_path / "m", "--max-tokens", 6, "--json")
    found = retro("ask", db, QUESTION, *how)
    assert found.code == 0, found.err
    assert found.rows[0]["evidence"]


# -- servers ------------------------------------------------------------------------------------


def test_a_server_answers_and_an_invented_quote_is_marked(retro, db, server):
    server.body = streamed('the boat [1] "saw the boat" [2] "He saw forty boats."')
    found = retro("ask", db, QUESTION, "--endpoint", server.url)
    assert found.code == 0, found.err
    assert found.out.startswith("the boat [1]")
    assert 'not in this source, as it is quoted: "He saw forty boats."' in found.out
    (reply,) = retro("ask", db, QUESTION, "--endpoint", server.url, "--json").rows
    assert [each["verbatim"] for each in reply["citations"]] == [
        "saw the boat" in reply["evidence"][0]["text"] + reply["evidence"][0]["continuation"],
        False,
    ]
    assert server.asked[-1][2]["model"] == "small"


def test_a_server_that_refuses_is_no_answer(retro, db, server):
    server.body = streamed("Not in the sources.")
    assert retro("ask", db, QUESTION, "--endpoint", server.url).out == "not in the sources\n"


def test_a_server_that_is_down_ends_with_one_line_and_a_hint(retro, db):
    found = retro("ask", db, QUESTION, "--endpoint", "http://127.0.0.1:9")
    assert found.code == 1
    assert "cannot be reached" in found.err
    assert "Traceback" not in found.err


def test_generate_streams_what_a_server_writes(retro, db, server):
    server.body = streamed("the ", "ferry ", "left")
    found = retro("generate", db, QUESTION, "--endpoint", server.url, "--max-tokens", 9)
    assert found.code == 0, found.err
    assert found.out.startswith("the ferry left\n")
    assert server.asked[-1][2]["max_tokens"] == 9
    closed = retro("generate", db, QUESTION, "--endpoint", server.url, "--no-retrieval", "--json")
    assert closed.rows[0]["text"] == "the ferry left"
    assert closed.rows[0]["evidence"] == []


WITHOUT_SERVER = [
    ("generate", "--beams", 3), ("generate", "--trace", "t.jsonl"),
    ("generate", "--reader", "retro"), ("ask", "--reader", "extract"),
    ("ask", "--model", "m"),
]  # fmt: skip


@pytest.mark.parametrize("args", WITHOUT_SERVER)
def test_what_a_server_cannot_do_is_refused_before_it_is_asked(retro, db, server, args):
    command, *rest = args
    found = retro(command, db, QUESTION, "--endpoint", server.url, *rest)
    assert found.code == 2
    assert not server.asked


# -- templates and refusals ----------------------------------------------------------------------


def test_a_template_of_ones_own_reaches_the_model(retro, db, server, tmp_path):
    (tmp_path / "t.toml").write_text('system = ""\nprompt = "SOURCES {passages} Q {question}"\n')
    found = retro("ask", db, QUESTION, "--endpoint", server.url, "--template", "t.toml")
    assert found.code == 0, found.err
    (message,) = server.asked[-1][2]["messages"]
    assert message["content"].startswith("SOURCES [1] ")
    assert message["content"].endswith(f"Q {QUESTION}")


def test_the_context_budget_cuts_passages_and_not_the_question(retro, db, server):
    how = ("--endpoint", server.url, "--context-tokens")
    retro("ask", db, QUESTION, *how, 40)
    short = server.asked[-1][2]["messages"][-1]["content"]
    retro("ask", db, QUESTION, *how, 4000)
    whole = server.asked[-1][2]["messages"][-1]["content"]
    assert len(short) < len(whole)
    assert short.endswith(QUESTION)


WRONG = [
    ((), "QUESTION"), (("  ",), "empty"), (("q", "--queries", "f"), "QUESTION"),
    (("q", "--reader", "reed"), "extract"), (("q", "--template", "none.toml"), "none.toml"),
    (("q", "--endpoint", "localhost"), "--endpoint"), (("q", "--retriever", "sparse"), "dense"),
    (("q", "--endpoint-model", "m"), "--endpoint"), (("q", "--source", "nowhere"), "nowhere"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "said"), WRONG)
def test_what_cannot_be_asked_is_refused(ask, args, said):
    found = ask(*args)
    assert found.code == 2
    assert said in found.err
    assert "Traceback" not in found.err


def test_a_reader_and_a_model_that_do_not_fit_name_what_would(retro, db, model):
    found = retro("ask", db, "q", "--reader", "extract", "--model", "smollm2-135m-prose")
    assert found.code == 2
    assert "RETRO model" in found.err
    assert "--reader retro" in found.err
    found = retro("generate", db, "q", "--reader", "retro", "--model", model)
    assert found.code == 2
    assert "--reader" in found.err
    assert "closed-book" in found.err


# -- generate with the readers of texts ----------------------------------------------------------


def test_generate_reads_in_context_and_traces_it(retro, db, model, tmp_path):
    how = ("--model", model, "--max-tokens", 9, "--json")
    found = retro(
        "generate", db, QUESTION, "--reader", "in-context", *how, "--trace", tmp_path / "t.jsonl"
    )
    assert found.code == 0, found.err
    whole = found.rows[0]
    assert [len(read["neighbours"]) for read in whole["chunks"]] == [1, 1, 1]  # every 4 tokens
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [line["read"] for line in lines] == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    closed = retro("generate", db, QUESTION, "--reader", "closed-book", *how).rows[0]
    assert closed["chunks"] == []
    without = retro("generate", db, QUESTION, "--reader", "in-context", "--no-retrieval", *how)
    assert without.rows[0]["tokens"] == closed["tokens"]


def test_generate_shows_what_was_read_in_context(retro, db, model):
    how = ("--reader", "in-context", "--model", model, "--max-tokens", 5, "--show")
    found = retro("generate", db, QUESTION, *how)
    assert found.code == 0, found.err
    assert found.out.count("looked up") == 2


# -- evaluation ----------------------------------------------------------------------------------

QUESTIONS = [
    {"id": "q1", "question": QUESTION, "answers": ["the boat"], "documents": ["light.txt"]},
    {"id": "q2", "question": "what is a letter about", "answer": "boat 3", "documents": ["p3"]},
    {"id": "q3", "question": "who wrote it", "answer": "", "documents": []},
]


@pytest.fixture
def evaluate(retro, db, model, tmp_path):
    def run(*args, questions=QUESTIONS):
        path = write_jsonl(tmp_path / "q.jsonl", questions)
        return retro("eval", "qa", db, "--questions", path, "--model", model, *args)

    return run


def test_answers_are_measured_beside_gold_and_closed_book(evaluate):
    found = evaluate("--gold", "--closed-book", "--least", 0, "--max-tokens", 4, "--json")
    assert found.code == 0, found.err
    (report,) = found.rows
    assert (report["questions"], report["answerable"]) == (3, 2)
    assert list(report["measured"]) == ["reader", "gold", "closed-book"]
    reader, gold = report["measured"]["reader"], report["measured"]["gold"]
    assert reader["quotes verbatim"]["value"] == 1
    assert gold["answer in evidence"]["value"] == 1
    assert reader["bits per byte"]["value"] > 0
    assert [len(report["answers"][name]) for name in report["measured"]] == [3, 2, 3]
    for one in report["answers"]["gold"]:
        assert len(one["chunks"]) == 1


def test_the_table_has_a_row_a_measure_and_says_what_right_means(evaluate):
    found = evaluate("--gold", "--no-likelihoods")
    assert found.code == 0, found.err
    for words in ("exact match", "F1", "right", "citations correct", "refused, without answer"):
        assert words in found.out
    assert "bits per byte" not in found.out
    assert "3 questions, 2 of them" in found.out


def test_a_written_answer_is_measured_too(evaluate):
    found = evaluate("--reader", "in-context", "--max-tokens", 4, "--limit", 1, "--json")
    assert found.code == 0, found.err
    assert found.rows[0]["measured"]["reader"]["bits per byte"]["value"] > 0


def test_questions_of_dpr_are_read_as_literals_and_never_run(retro, db, model, tmp_path):
    path = tmp_path / "q.tsv"
    path.write_text(f"{QUESTION}\t['the boat', \"a boat\"]\n")
    how = ("--model", model, "--no-likelihoods", "--json")
    found = retro("eval", "qa", db, "--questions", path, *how)
    assert found.rows[0]["answers"]["reader"][0]["answers"] == ["the boat", "a boat"]
    path.write_text(f"{QUESTION}\t[open('owned', 'w')]\n")
    refused = retro("eval", "qa", db, "--questions", path, *how)
    assert refused.code == 2
    assert "line 1" in refused.err
    assert not (tmp_path / "owned").exists()


BROKEN = [
    ("{", "line 1"),
    ('{"answers": ["a"]}', "question"),
    ("", "no questions"),
    ("[1]", "item 1"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_file_that_holds_no_questions_is_refused(retro, db, model, tmp_path, text, said):
    (tmp_path / "q.jsonl").write_text(text)
    found = retro("eval", "qa", db, "--questions", "q.jsonl", "--model", model)
    assert found.code == 2
    assert said in found.err


def test_a_closed_book_has_no_gold_chunk(evaluate):
    assert evaluate("--reader", "closed-book", "--gold").code == 2


def test_a_server_is_measured_without_likelihoods(retro, db, server, tmp_path):
    path = write_jsonl(tmp_path / "q.jsonl", QUESTIONS)
    server.body = streamed("the boat [1]")
    found = retro("eval", "qa", db, "--questions", path, "--endpoint", server.url, "--json")
    assert found.code == 0, found.err
    measured = found.rows[0]["measured"]["reader"]
    assert measured["right"]["value"] == 0.5
    assert measured["bits per byte"]["value"] is None


def test_as_a_process_ask_answers(db, model):
    done = process("ask", db, QUESTION, "--model", model, "--least", 0, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["citations"]
