"""The parts of the benchmarks that a wrong result could hide in."""

from __future__ import annotations

import io
import json
import math
import sys
from itertools import combinations, islice
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import generate
import ndcg
import results
import table

CHUNK_WORDS = 40


def generated(seed: int, size: int, stream: int = 0) -> bytes:
    out = io.BytesIO()
    generate.write(out, size, seed, stream)
    return out.getvalue()


def chunks(records: list[dict[str, str]]) -> list[frozenset[tuple[str, ...]]]:
    """The word 5-grams of every stretch of CHUNK_WORDS words."""
    found = []
    for record in records:
        words = record["text"].lower().split()
        for start in range(0, len(words) - CHUNK_WORDS, CHUNK_WORDS):
            piece = words[start : start + CHUNK_WORDS]
            found.append(frozenset(zip(*(piece[at:] for at in range(5)), strict=False)))
    return found


class TestGenerator:
    def test_a_seed_gives_the_same_bytes_and_a_longer_file_begins_with_them(self) -> None:
        short, long = generated(1, 100_000), generated(1, 300_000)
        assert len(short) >= 100_000
        assert long.startswith(short)

    def test_another_seed_or_stream_gives_other_documents(self) -> None:
        texts = [
            {json.loads(line)["text"] for line in generated(seed, 50_000, stream).splitlines()}
            for seed, stream in ((1, 0), (1, 1), (2, 0))
        ]
        assert all(a.isdisjoint(b) for a, b in combinations(texts, 2))

    def test_ids_are_unique_and_texts_are_sentences(self) -> None:
        records = [json.loads(line) for line in generated(1, 400_000).splitlines()]
        assert len({record["id"] for record in records}) == len(records)
        for record in records:
            assert record["text"].endswith(".")
            assert record["text"][0].isupper()
            assert record["title"]

    def test_no_two_chunks_are_near_duplicates(self) -> None:
        pieces = chunks(list(islice(generate.documents(3), 45)))
        assert len(pieces) > 300
        most = max(len(a & b) / len(a | b) for a, b in combinations(pieces, 2))
        assert most < 0.1

    def test_documents_of_one_topic_share_more_words_than_others(self) -> None:
        speech = generate.language(1)
        rng = generate.np.random.default_rng(0)
        first, again, other = (
            set(generate._words(speech, rng, generate.np.full(400, topic))) for topic in (5, 5, 6)
        )
        assert len(first & again) > len(first & other)

    @pytest.mark.parametrize(
        ("text", "size"), [("300M", 300_000_000), ("2g", 2 * 10**9), ("1.5k", 1500), ("12", 12)]
    )
    def test_sizes_are_decimal(self, text: str, size: int) -> None:
        assert generate.parse_size(text) == size


class TestNdcg:
    def test_a_perfect_ranking_has_one_and_an_empty_one_nothing(self) -> None:
        assert ndcg.ndcg(["a", "b", "x"], {"a", "b"}) == 1.0
        assert ndcg.ndcg([], {"a"}) == 0.0
        assert ndcg.ndcg(["x", "y"], {"a"}) == 0.0

    def test_the_discount_is_log2_of_the_rank_plus_one(self) -> None:
        assert ndcg.ndcg(["x", "a"], {"a"}) == pytest.approx(1 / math.log2(3))
        # Ranks 1 and 3 of three relevant: (1 + 1/2) / (1 + 0.63093 + 1/2)
        assert ndcg.ndcg(["a", "x", "b"], {"a", "b", "c"}) == pytest.approx(1.5 / 2.1309298)

    def test_only_the_first_k_count_on_either_side(self) -> None:
        assert ndcg.ndcg(["x", "a"], {"a"}, k=1) == 0.0
        assert ndcg.ndcg(["a"], {"a", "b", "c"}, k=1) == 1.0

    def test_the_mean_is_over_judged_queries_answered_or_not(self) -> None:
        relevant = {"1": {"a"}, "2": {"b"}, "3": set()}
        assert ndcg.mean_ndcg({"1": ["a"], "3": ["z"]}, relevant) == 0.5

    def test_overlap_counts_shared_documents_whatever_their_order(self) -> None:
        assert (
            ndcg.overlap({"1": ["a", "b"], "2": ["c", "d"]}, {"1": ["b", "a"], "2": ["d"]}) == 0.75
        )

    def test_files_are_read_by_their_columns(self, tmp_path: Path) -> None:
        path = tmp_path / "qrels.tsv"
        path.write_text("query-id\tcorpus-id\tscore\n1\t28\t1\n1\t35\t0\n2\t7\t2\n")
        assert ndcg.read_qrels(path) == {"1": {"28"}, "2": {"7"}}
        run = "1 Q0 28 1 0.9 retro\n1 Q0 3 2 0.8 retro\n"
        assert ndcg.read_trec(run) == {"1": ["28", "3"]}


class TestTable:
    def result(self, value: float) -> results.Result:
        line = results.Line(
            "a | b", "2x", f"{value}x", value, 2, True, {"ours, s": [3.0, 1.0, 2.0]}
        )
        return results.Result("rows", [line], {"chunks": 10})

    def run(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *options: str) -> int:
        readme = str(tmp_path / "README.md")
        words = ["table.py", "--readme", readme, "--results", str(tmp_path / "results"), *options]
        monkeypatch.setattr(sys, "argv", words)
        return table.main()

    def test_check_fails_until_the_table_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        readme = tmp_path / "README.md"
        readme.write_text(
            "before\n<!-- benchmarks:begin -->\nold\n<!-- benchmarks:end -->\nafter\n"
        )
        self.result(2.5).save(tmp_path / "results", quick=False)
        assert self.run(monkeypatch, tmp_path, "--check") == 1
        assert "old" in readme.read_text()
        assert self.run(monkeypatch, tmp_path) == 0
        assert self.run(monkeypatch, tmp_path, "--check") == 0
        text = readme.read_text()
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n")
        assert "| a \\| b | 2x | 2.5x | met | [rows.py](benchmarks/rows.py) |" in text

    def test_a_target_that_is_not_reached_is_said_to_be_missed(self) -> None:
        saved = {**self.result(1.5).lines[0].to_json()}
        assert saved["met"] is False
        assert saved["medians"] == {"ours, s": 2.0}
        value = {"benchmark": "rows", "lines": [saved], "machine": results.machine()}
        assert "**missed**" in table.render([value])

    def test_a_missed_line_is_never_only_among_the_folded_ones(self) -> None:
        lines = [
            {"what": what, "target": "2x", "measured": "", "met": met}
            for what, met in (("first", True), ("second", True), ("third", False))
        ]
        text = table.render([{"benchmark": "rows", "lines": lines, "machine": results.machine()}])
        short, _, folded = text.partition("<details><summary>All 3 lines, 2 of them met")
        assert [what in short for what in ("first", "second", "third")] == [True, False, True]
        assert all(what in folded for what in ("first", "second", "third"))

    def test_a_readme_without_its_markers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="needs"):
            table.insert("no markers", "table")


def test_the_page_of_retrieval_shows_every_estimate():
    import retrieval_page

    def estimate(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01, "documents": 9}

    ways = dict(zip(retrieval_page.WAYS, (0.31, 0.32, 0.41, 0.42), strict=True))
    measured = {
        "metric": "nDCG@10",
        "queries": 225,
        "scores": {way: estimate(value) for way, value in ways.items()},
        "better part": "bm25",
        "hybrid - better part": estimate(0.09),
        "interpolated - better part": estimate(-0.05),
        "reranked": {
            "queries": 40, "score": estimate(0.5), "reranked - hybrid": estimate(0.07),
        },
    }  # fmt: skip
    page = retrieval_page.render({"facts": {"some": measured}, "machine": results.machine()})
    for value in ways.values():
        assert f"{value:.3f} ({value - 0.01:.3f} to {value + 0.01:.3f})" in page
    assert "| some | bm25 | +0.090 (+0.080 to +0.100) | -0.050 (-0.060 to -0.040) |" in page
    assert "| some | 40 | 0.500 (0.490 to 0.510) | +0.070 (+0.060 to +0.080) |" in page
