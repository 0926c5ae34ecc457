"""The parts of the comparison with the peers that a wrong figure could hide in."""

from __future__ import annotations

import ast
import json
import sqlite3
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import write_jsonl

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "peers"))

import adapter
import environments
import peers
import peers_corpus
import peers_page
import peers_sides
import peers_trial
import results
import use_autofaiss
import use_llm


def side(**changed):
    return {
        "build_s": 50.0, "peak_bytes": 900e6, "disk_bytes": 9e6, "cold_s": [8.0, 9.0, 30.0],
        "warm_qps": 60.0, "recall": 1.0, "rerun_s": 9.0, "add_s": 9.0, "delete_s": 2.0,
        "clean_s": None, "seen before": True, "left after delete": False,
        "left after clean": False, "deleted in answers": 0, "added found": 10, "added asked": 10,
        "killed": True, "resume_s": 40.0, "resumed equals": 1.0,
        **changed,
    }  # fmt: skip


SIDES = {
    "sentence-transformers + Faiss": side(warm_qps=70.0, delete_s=0.5),
    "chromadb": side(clean_s=1.0, **{"left after delete": True}),
    "autofaiss": {"failed": "no such wheel"},
    "bm25s": side(build_s=1.0, recall=0.4, delete_s=3.0),
    "retro": side(
        build_s=28.0, cold_s=[0.3], rerun_s=1.0, add_s=1.5, delete_s=0.6, clean_s=0.7,
        resume_s=20.0, recall=0.998, **{"left after delete": True},
    ),
}  # fmt: skip


def row(table, title):
    line = next(line for line in table.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


class TestPage:
    def test_retro_comes_first_and_the_best_of_a_row_is_bold(self):
        table = peers_page.main_table(SIDES)
        assert row(table, "") == ["retro", "sentence-transformers + Faiss", "chromadb", "bm25s"]
        assert row(table, "from text to queryable, s") == ["28.0", "50.0", "50.0", "**1.0**"]
        assert row(table, "warm queries a second") == ["60.0", "**70.0**", "60.0", "60.0"]
        assert row(table, "cold query, s") == ["**0.30**", "9.00", "9.00", "9.00"]

    def test_recall_by_words_is_shown_apart(self):
        recall = row(peers_page.main_table(SIDES), "recall@10")
        assert recall == ["0.998", "**1.000**", "**1.000**", "(0.400)"]

    def test_what_a_deletion_leaves_on_the_disk_is_said(self):
        found = dict(SIDES, txtai=side(**{"left after delete": True, "left after clean": True}))
        found["lancedb"] = side(**{"seen before": False})
        table = peers_page.main_table(found)
        left = dict(zip(row(table, ""), row(table, "the marker after deletion"), strict=True))
        assert left["retro"] == "gone once cleared"
        assert left["bm25s"] == "gone"
        assert left["txtai"] == "still there"
        assert left["lancedb"] == "cannot be seen"
        off = dict(
            zip(row(table, ""), row(table, "a source deleted and off the disk, s"), strict=True)
        )
        assert off["txtai"] == off["lancedb"] == "-"
        assert off["chromadb"] == "3.00"

    def test_whoever_could_not_be_measured_is_named_with_the_reason(self):
        assert "autofaiss could not be measured: no such wheel" in peers_page.main_table(SIDES)

    def test_every_figure_of_a_peer_that_is_better_is_listed(self):
        lines = peers_page.wins(SIDES).splitlines()
        assert "- from text to queryable: bm25s 1.0; retro 28.0" in lines
        assert "- a source deleted: sentence-transformers + Faiss 0.50; retro 0.60" in lines
        assert (
            "- recall@10: sentence-transformers + Faiss 1.000, chromadb 1.000; retro 0.998" in lines
        )
        assert not any("cold query" in line or "rerun" in line for line in lines)

    def test_it_says_so_where_no_peer_is_ahead(self):
        sides = {"retro": side(), "chromadb": side(warm_qps=1.0)}
        assert peers_page.wins(sides) == "Nowhere, in these figures."

    def test_check_fails_until_the_page_is_written(self, tmp_path, monkeypatch):
        page, result = tmp_path / "page.md", tmp_path / "peers.json"
        marks = ("peers", "peers-wins", "peers-lacks")
        page.write_text("".join(f"<!-- {m}:begin -->\n<!-- {m}:end -->\n" for m in marks))
        assert peers_page.write(page, result, check=False) == 0
        assert page.read_text().count(peers_page.NOT_YET) == 2
        facts = {"chunks": 4986, "sides": SIDES}
        result.write_text(json.dumps({"facts": facts, "machine": results.machine()}))
        assert peers_page.write(page, result, check=True) == 1
        assert peers_page.write(page, result, check=False) == 0
        assert peers_page.write(page, result, check=True) == 0
        assert "4,986 chunks" in page.read_text()

    def test_the_page_in_the_repository_has_a_line_for_each_peer(self):
        page = peers_page.PAGE.read_text(encoding="utf-8")
        for peer in peers_sides.PEERS:
            assert f"| {peer.name} | `{peer.packages[0]}` |" in page


class TestLines:
    def test_a_line_compares_with_the_fastest_of_those_that_are_meant(self):
        lines = {line.what.partition(":")[0]: line for line in peers._lines(SIDES)}
        assert lines["from text to queryable"].value == pytest.approx(50 / 28)
        assert lines["a source deleted"].value == pytest.approx(0.5 / 0.6)
        assert not lines["a source deleted"].met
        assert lines["cold query"].met

    def test_where_words_alone_are_fastest_the_best_of_the_dense_is_named_too(self):
        sides = {**SIDES, "bm25s": side(rerun_s=0.4)}
        rerun = next(line for line in peers._lines(sides) if line.what.startswith("rerun"))
        assert rerun.value == pytest.approx(0.4)
        assert "bm25s 0.40 s; sentence-transformers + Faiss 9.00 s" in rerun.measured

    def test_recall_is_compared_with_the_dense_peers_only(self):
        recall = next(line for line in peers._lines(SIDES) if "recall" in line.what)
        assert recall.value == pytest.approx(-0.002)
        assert recall.met


class TestTrial:
    def test_overlap_is_the_mean_share_of_the_truth(self):
        truth = [["a", "b"], ["c", "d"]]
        assert peers_trial.overlap([["b", "x"], ["d", "c"]], truth) == 0.75

    def test_a_marker_is_found_in_bytes_and_in_compressed_tables(self, tmp_path):
        letters = np.random.default_rng(0).choice(list("abcdefgh "), (99, 200))
        texts = ["".join(row) for row in letters]
        texts[50] = f"b {peers_corpus.MARKER} {texts[50]}"  # in the middle
        path = tmp_path / "deep" / "part.parquet"
        path.parent.mkdir()
        pq.write_table(pa.table({"text": texts}), path, compression="zstd")
        assert peers_corpus.MARKER.encode() not in path.read_bytes()
        assert peers_trial.holds(tmp_path, peers_corpus.MARKER)
        assert not peers_trial.holds(tmp_path, "nowhere")
        (tmp_path / "log").write_bytes(b"\0\xffnowhere\n")
        assert peers_trial.holds(tmp_path, "nowhere")

    def test_a_kill_takes_the_children_too(self, tmp_path):
        note = tmp_path / "pid"
        command = ["sh", "-c", f"sleep 60 & echo $! > {note}; wait"]
        assert peers_trial.kill_after(command, 1.0)
        status = Path(f"/proc/{int(note.read_text())}/status")
        deadline = time.monotonic() + 20  # far less than it would have slept
        while status.exists() and "zombie" not in status.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def test_what_ended_before_was_not_killed(self):
        assert not peers_trial.kill_after(["true"], 0.5)


def test_sources_differ_the_news_is_little_and_one_source_has_the_marker(tmp_path):
    peers_corpus._write_documents(tmp_path, 100_000, 3, "source-01")
    files = [*(tmp_path / "documents").iterdir(), tmp_path / f"{peers_corpus.NEWS_SOURCE}.jsonl"]
    ids = []
    for path in files:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        ids += [record["id"] for record in records]
        assert {record["source"] for record in records} == {path.stem}
        marked = [peers_corpus.MARKER in record["text"] for record in records]
        assert all(marked) if path.stem == "source-01" else not any(marked)
    assert len(set(ids)) == len(ids)
    sizes = [path.stat().st_size for path in files]
    assert 0.01 <= sizes[-1] / sum(sizes[:-1]) < 0.2


class TestScripts:
    def test_each_peer_has_one_that_knows_all_verbs(self):
        for peer in peers_sides.PEERS:
            tree = ast.parse((peers_sides.SCRIPTS / peer.script).read_text(encoding="utf-8"))
            made = [
                len(node.args)
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Adapter"
            ]
            assert made == [5 if peer.clears else 4]

    def test_the_first_question_is_not_timed_and_the_order_is_kept(self):
        asked = []

        def search(text):
            asked.append(text)
            return [text.upper()]

        found = adapter.warm(search, ["a", "b"])
        assert found["ids"] == [["A"], ["B"]]
        assert asked == ["b", "a", "b"]
        assert found["seconds"] < 1

    def test_a_verb_that_a_peer_lacks_is_refused(self, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["use_x.py", "clean", "store", "model"])
        with pytest.raises(SystemExit, match="no clean"):
            adapter.main(adapter.Adapter(*[None] * 4))

    def test_autofaiss_resumes_by_sources_and_loses_a_deleted_one(self, tmp_path, monkeypatch):
        embedded, indexed = [], []
        monkeypatch.setattr(use_autofaiss, "load_model", lambda folder: "model")
        monkeypatch.setattr(use_autofaiss, "_index", lambda store: indexed.append(store))

        def embed(model, texts):
            embedded.extend(texts)
            return np.zeros((len(texts), 4), dtype=np.float32)

        monkeypatch.setattr(use_autofaiss, "embed", embed)
        records = [{"id": str(n), "source": f"s{n // 2}", "text": f"t{n}"} for n in range(6)]
        use_autofaiss.build(tmp_path, "", records[:4])
        use_autofaiss.build(tmp_path, "", records)
        assert embedded == ["t0", "t1", "t2", "t3", "t4", "t5"]
        use_autofaiss.delete(tmp_path, "s1")
        assert sorted(path.stem for path in (tmp_path / "vectors").iterdir()) == ["s0", "s2"]
        assert len(indexed) == 3  # after every change

    def test_llm_loses_the_rows_of_one_source_and_then_their_bytes(self, tmp_path):
        path = tmp_path / use_llm.DATABASE
        with sqlite3.connect(path) as connection:
            connection.execute("create table embeddings (id text, content text)")
            rows = [(f"s{n % 2}/{n}", f"word{n % 2} " * 99) for n in range(40)]
            connection.executemany("insert into embeddings values (?, ?)", rows)
        connection.close()
        use_llm.delete(tmp_path, "s1")
        use_llm.clean(tmp_path)
        assert b"word1" not in path.read_bytes()
        assert path.read_bytes().count(b"s0/") == 20

    def test_records_come_back_as_they_were_written(self, tmp_path):
        records = [{"id": "a#0", "source": "s", "text": "one\ntwo é"}]
        adapter.write(tmp_path / "x.jsonl", records)
        assert adapter.read(tmp_path / "x.jsonl") == records
        assert adapter.read(write_jsonl(tmp_path / "y.jsonl", records)) == records


def test_an_environment_is_made_once_for_the_same_packages(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(environments, "run", lambda words: commands.append(words))
    home = tmp_path / "env"
    home.mkdir()
    environments.interpreter(home, ["a==1"])
    assert len(commands) == 2
    assert environments.interpreter(home, ["a==1"]) == home / "bin" / "python"
    assert len(commands) == 2
    environments.interpreter(home, ["a==2"])
    assert len(commands) == 4
