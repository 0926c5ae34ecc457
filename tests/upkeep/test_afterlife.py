"""Odd orders of updates, rules, compactions, purges and rollbacks: found by review, kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import write_jsonl


def hits(retro, db, text, k=99):
    r = retro("query", db, text, "-k", k, "--json")
    assert r.code == 0, r.err
    return r.rows[0]["hits"]


@pytest.fixture
def other_encoder(static_encoder, tmp_path):
    import shutil

    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "other"
    shutil.copytree(static_encoder, folder)
    table = load_file(str(folder / "model.safetensors"))["embedding.weight"]
    save_file(
        {
            "embedding.weight": np.random.default_rng(9)
            .standard_normal(table.shape)
            .astype(np.float32)
        },
        str(folder / "model.safetensors"),
    )
    return folder


def test_compact_after_embed_with_another_encoder(retro, db, other_encoder):
    assert retro("embed", db, "--encoder", other_encoder).code == 0
    retro("compact", db, "--max-dead", 0)
    retro("index", db)
    q = "a letter about boat 3"
    h = hits(retro, db, q, 3)
    assert h[0]["text"].strip() == q
    assert h[0]["score"] > 0.99


def test_rollback_to_older_encoder_then_compact(retro, db, other_encoder):
    assert retro("embed", db, "--encoder", other_encoder).code == 0
    assert retro("index", db).code == 0
    assert retro("rollback", db, 1).code == 0
    retro("compact", db, "--max-dead", 0)
    retro("index", db)
    q = "a letter about boat 3"
    h = retro("query", db, q, "-k", 3, "--json")
    h = h.rows[0]["hits"]
    assert h[0]["text"].strip() == q
    assert h[0]["score"] > 0.99


def two(retro, static_encoder, tmp_path, more=()):
    root = tmp_path / "c"
    root.mkdir()
    t = "the keeper of the light saw the storm. " * 4
    write_jsonl(root / "a.jsonl", [{"id": "a", "text": t, "source": "bad"}])
    d = tmp_path / "c.db"
    assert retro("build", root, "--db", d, "--encoder", static_encoder, "--tokens", 16).code == 0
    write_jsonl(root / "b.jsonl", [{"id": "b", "text": t, "source": "good"}])
    assert retro("build", root, "--db", d).code == 0
    write_jsonl(root / "c.jsonl", [{"id": "c", "text": "the island boat " * 9, "source": "good"}])
    assert retro("build", root, "--db", d).code == 0
    return root, d


def test_purge_promoted_row_has_a_score(retro, static_encoder, tmp_path):
    _root, d = two(retro, static_encoder, tmp_path)
    (tmp_path / "w.txt").write_text("zebra\n")
    assert retro("filter", "score", d, "--scorer", "words:w.txt", "--as", "w").code == 0
    r = retro(
        "filter", "add", d, "--min-toxicity", "0.9", "--scores", "w", "--reason", "x", "--yes"
    )
    assert r.code == 0, r.err
    assert retro("filter", "add", d, "--source", "bad", "--reason", "x").code == 0
    p = retro("compact", d, "--purge", "--yes")
    assert p.code == 0, p.err
    assert retro("filter", "verify", d).code == 0


def test_rollback_past_a_compaction_with_a_toxicity_rule(retro, static_encoder, tmp_path):
    root, d = two(retro, static_encoder, tmp_path)
    (tmp_path / "w.txt").write_text("zebra\n")
    assert retro("filter", "score", d, "--scorer", "words:w.txt", "--as", "w").code == 0
    r = retro(
        "filter", "add", d, "--min-toxicity", "0.9", "--scores", "w", "--reason", "x", "--yes"
    )
    assert r.code == 0, r.err
    write_jsonl(root / "c.jsonl", [{"id": "c", "text": "the island ferry " * 9, "source": "good"}])
    assert retro("build", root, "--db", d).code == 0
    n = [
        x["generation"] if "generation" in x else x["number"]
        for x in retro("history", d, "--json").rows
    ]
    c = retro("compact", d)
    assert c.code == 0
    b = retro("rollback", d, n[-2])
    assert b.code == 0, b.err


def test_undo_a_rule_whose_scorer_is_gone(retro, static_encoder, tmp_path):
    root, d = two(retro, static_encoder, tmp_path)
    (tmp_path / "w.txt").write_text("island\n")
    assert retro("filter", "score", d, "--scorer", "words:w.txt", "--as", "w").code == 0
    r = retro(
        "filter", "add", d, "--min-toxicity", "0.1", "--scores", "w", "--reason", "x", "--yes"
    )
    assert r.code == 0, r.err
    (tmp_path / "w.txt").unlink()
    write_jsonl(root / "e.jsonl", [{"id": "e", "text": "the ferry " * 9, "source": "good"}])
    retro("build", root, "--db", d)
    u = retro("filter", "undo", d, 1)
    assert u.code == 0, u.err


def copies(retro, static_encoder, tmp_path):
    root = tmp_path / "c"
    root.mkdir()
    t = "the keeper of the light saw the storm. "
    write_jsonl(root / "a.jsonl", [{"id": "a", "text": t, "source": "bad"}])
    write_jsonl(
        root / "b.jsonl",
        [
            {"id": "b", "text": t, "source": "good"},
            {"id": "c", "text": "the island boat " * 3, "source": "good"},
        ],
    )
    d = tmp_path / "c.db"
    assert retro("build", root, "--db", d, "--encoder", static_encoder, "--tokens", 16).code == 0
    assert (
        retro("filter", "add", d, "--source", "bad", "--copies", "exact", "--reason", "x").code == 0
    )
    assert {h["document"] for h in hits(retro, d, "the keeper")} == {"c"}
    return root, d


def test_copies_stay_out_after_compact_of_the_edited_original(retro, static_encoder, tmp_path):
    root, d = copies(retro, static_encoder, tmp_path)
    write_jsonl(root / "a.jsonl", [{"id": "a", "text": "the ferry", "source": "bad"}])
    assert retro("build", root, "--db", d).code == 0
    assert {h["document"] for h in hits(retro, d, "the keeper")} == {"c"}
    assert retro("compact", d, "--max-dead", 0).code == 0
    assert {h["document"] for h in hits(retro, d, "the keeper")} == {"c"}


def test_copies_stay_out_after_a_purge(retro, static_encoder, tmp_path):
    root, d = copies(retro, static_encoder, tmp_path)
    p = retro("compact", d, "--purge", "--yes")
    assert p.code == 0, p.err
    with (root / "b.jsonl").open("a") as f:
        f.write(json.dumps({"id": "n", "text": "the island ferry", "source": "good"}) + "\n")
    assert retro("build", root, "--db", d).code == 0
    assert {h["document"] for h in hits(retro, d, "the keeper")} == {"c", "n"}


def test_purge_after_a_killed_chunk_leaves_no_text(retro, db, archive, monkeypatch):
    from retro_cli.chunks import stage

    (archive / "new.txt").write_text("the island storm")

    def die(*a, **k):
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(stage.ChunkManifest, "save", die)
        assert retro("chunk", archive, "--db", db).code == 130
    assert (db / "chunks" / "journal.jsonl").exists()
    assert retro("filter", "add", db, "--source", "letters", "--reason", "x").code == 0
    p = retro("compact", db, "--purge", "--yes")
    import pyarrow.parquet as pq

    left = "".join(repr(pq.read_table(x).to_pylist()) for x in (db / "chunks").glob("*.parquet"))
    assert p.code != 0 or "letter about boat 1 " not in left


def test_nothing_compact_never_points_at_missing(retro, db, monkeypatch):
    from retro_cli.index.generation import Generation

    def die(*a, **k):
        raise KeyboardInterrupt

    real = Generation.save

    def save(self, folder):
        if self.number == 1:
            raise KeyboardInterrupt
        real(self, folder)

    with monkeypatch.context() as m:
        m.setattr(Generation, "save", save)
        retro("compact", db)
    assert retro("query", db, "the boat").code == 0


def test_failed_rollback_with_filters_keeps_rules(retro, db, archive):
    assert retro("filter", "add", db, "--source", "letters", "--reason", "x").code == 0
    # damage a file of generation 1 only
    g = json.loads((db / "index" / "gen-000001.json").read_text())
    g2 = json.loads((db / "index" / "gen-000002.json").read_text())
    name = g["dead"]["name"]
    assert name != g2["dead"]["name"]
    (db / "index" / name).write_bytes(b"x" * 99)
    assert retro("rollback", db, 1, "--with-filters").code == 4
    assert retro("filter", "list", db, "--json").rows[0]["state"] == "active"


def test_same_rule_again_after_a_purge(retro, db):
    assert retro("filter", "add", db, "--source", "letters", "--reason", "x").code == 0
    assert retro("compact", db, "--purge", "--yes").code == 0
    r = retro("filter", "add", db, "--source", "letters", "--reason", "x")
    assert r.code == 0, r.err


def test_purge_count_again(retro, db):
    assert retro("filter", "add", db, "--source", "letters", "--reason", "x").code == 0
    assert retro("compact", db, "--purge", "--yes").code == 0
    r = retro("compact", db, "--purge")
    assert "of 0 chunks" in r.err or r.code == 0, r.err


def test_everything_out_and_compacted(retro, db):
    assert retro("filter", "add", db, "--match", ".", "--reason", "x", "--yes").code == 0
    r = retro("compact", db, "--max-dead", 0)
    assert r.code == 0, r.err
    assert hits(retro, db, "the boat") == []
    v = retro("filter", "verify", db)
    assert v.code == 0, v.err
    assert retro("index", db).code == 0
    r = retro("filter", "undo", db, 1)
    assert r.code == 0, r.err
    assert len(hits(retro, db, "the boat")) > 5


def test_everything_out_purged(retro, db, archive):
    assert retro("filter", "add", db, "--match", ".", "--reason", "x", "--yes").code == 0
    r = retro("compact", db, "--purge", "--yes")
    assert r.code == 0, r.err
    for c in (
        ["status", db],
        ["verify", db],
        ["filter", "verify", db],
        ["filter", "list", db],
        ["sources", db],
        ["history", db],
        ["index", db],
        ["embed", db],
        ["query", db, "boat"],
        ["build", archive, "--db", db],
    ):
        r = retro(*c)
        assert r.code == 0, (c, r.err)


def test_diff_across_a_compaction(retro, static_encoder, tmp_path):
    root, d = two(retro, static_encoder, tmp_path)
    write_jsonl(root / "b.jsonl", [{"id": "b", "text": "the boat " * 9, "source": "good"}])
    write_jsonl(
        root / "k.jsonl",
        [{"id": f"k{n}", "text": f"the boat {n} " * 9, "source": "good"} for n in range(4)],
    )
    assert retro("build", root, "--db", d).code == 0
    write_jsonl(
        root / "k.jsonl",
        [{"id": f"k{n}", "text": f"the boat {n} " * 9, "source": "good"} for n in range(2)],
    )
    assert retro("build", root, "--db", d, "--prune").code == 0
    retro("compact", d, "--json").rows[0]
    h = retro("history", d, "--json").rows
    a, b = h[-2], h[-1]
    key = "generation" if "generation" in a else "number"
    r = retro("diff", d, a[key], b[key], "--json")
    row = r.rows[0]
    assert row["recut"] == 0
    assert row["sources"] == []


def test_undo_then_index_measures_again(retro, db):
    assert (
        retro("filter", "add", db, "--source", "letters", "--source", "forum", "--reason", "x").code
        == 0
    )
    assert retro("index", db, "--retrain").code == 0
    assert retro("filter", "undo", db, 1).code == 0
    assert retro("index", db).code == 0
    s = json.loads(retro("status", db, "--json").out)
    idx = next(x for x in s["stages"] if x["name"] == "index") if "stages" in s else s["index"]
    f = idx.get("facts", idx)
    assert f["rows"] == f["recall_measured_at_rows"]


def test_old_scores_leave_the_disk(retro, db):
    (db.parent / "w.txt").write_text("letter\n")
    assert (
        retro("filter", "score", db, "--scorer", f"words:{db.parent}/w.txt", "--as", "w").code == 0
    )
    assert retro("filter", "add", db, "--source", "letters", "--reason", "x").code == 0
    assert retro("compact", db, "--purge", "--yes").code == 0
    m = json.loads((db / "attributes" / "w" / "manifest.json").read_text())
    names = {v[1]["name"] for v in m["parts"].values()}
    assert {p.name for p in (db / "attributes" / "w").glob("*.f4")} == names


def test_all_purged_then_a_document_level_rule(retro, db):
    (db.parent / "w.txt").write_text("letter\n")
    assert (
        retro("filter", "score", db, "--scorer", f"words:{db.parent}/w.txt", "--as", "w").code == 0
    )
    assert (
        retro(
            "filter",
            "add",
            db,
            "--min-toxicity",
            "0.1",
            "--level",
            "document",
            "--scores",
            "w",
            "--reason",
            "x",
            "--yes",
        ).code
        == 0
    )
    assert retro("filter", "add", db, "--match", ".", "--reason", "x", "--yes").code == 0
    r = retro("compact", db, "--purge", "--yes")
    assert r.code == 0, r.err


def test_status_counts_vectors_after_purge(retro, db):
    assert retro("filter", "add", db, "--source", "letters", "--reason", "x").code == 0
    assert retro("compact", db, "--purge", "--yes").code == 0
    s = json.loads(retro("status", db, "--json").out)
    e = (
        s["embeddings"]
        if "embeddings" in s
        else next(x for x in s["stages"] if x["name"] == "embeddings")
    )
    f = e.get("facts", e)
    retro("verify", db)
    assert f["vectors"] == 53


def test_part_size_one_file_purge(retro, static_encoder, tmp_path):
    t = "the keeper of the light saw the storm. " * 4
    recs = [
        {"id": f"d{n}", "text": f"{t} {n % 7}", "source": "bad" if n % 3 else "good"}
        for n in range(60)
    ]
    write_jsonl(tmp_path / "r.jsonl", recs)
    d = tmp_path / "p.db"
    for dedup in ("chunk", "document", "none"):
        d = tmp_path / f"{dedup}.db"
        r = retro(
            "chunk",
            "r.jsonl",
            "--db",
            d,
            "--encoder",
            static_encoder,
            "--tokens",
            16,
            "--dedup",
            dedup,
            "--part-size",
            2000,
        )
        assert r.code == 0, r.err
        assert retro("embed", d).code == 0
        assert retro("index", d).code == 0
        assert retro("filter", "add", d, "--source", "bad", "--reason", "x").code == 0

        def view(d=d):
            return sorted(
                (
                    round(h["score"], 3),
                    h["text"],
                    h["continuation"],
                    h["document"],
                    tuple(sorted(a["document"] for a in h["also"])),
                )
                for h in hits(retro, d, t, 999)
            )

        before = view()
        assert retro("compact", d, "--purge", "--yes").code == 0
        assert view() == before
        assert retro("verify", d).code == 0
        assert retro("embed", d, "--json").rows[0]["parts_done"] == 0
        assert retro("index", d).code == 0
        assert view() == before


def test_journal_of_killed_undo_is_not_used_by_rollback(retro, db, monkeypatch):
    from retro_cli.index.build import Build

    for a in (
        ["index", db, "--factory", "IVF4,SQ8"],
        ["filter", "add", db, "--source", "letters", "--reason", "x"],
        ["compact", db, "--max-dead", 0, "--keep-generations", 9],
        ["index", db, "--retrain"],
    ):
        r = retro(*a)
        assert r.code == 0, r.err
    h = retro("history", db, "--json").rows

    def die(*a, **k):
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(Build, "_commit", die)
        assert retro("filter", "undo", db, 1).code == 130
    g = h[-2]["number"]
    r = retro("rollback", db, g)
    assert r.code == 0, r.err
    gen = json.loads((db / "index" / (db / "index" / "CURRENT").read_text().strip()).read_text())
    from retro_cli.index.segments import inverted_file, load_index

    ti = load_index(db / "index" / gen["template"]["name"])
    t = inverted_file(ti)
    want = t.quantizer.reconstruct_n(0, t.nlist)
    for s in gen["segments"]:
        si = load_index(db / "index" / s["file"]["name"])
        i = inverted_file(si)
        assert np.array_equal(i.quantizer.reconstruct_n(0, i.nlist), want), s


def test_toxicity_rule_between_chunk_and_index(retro, static_encoder, tmp_path):
    root, d = two(retro, static_encoder, tmp_path)
    (tmp_path / "w.txt").write_text("island\n")
    write_jsonl(root / "c.jsonl", [{"id": "c", "text": "the boat ferry " * 9, "source": "good"}])
    assert retro("chunk", root, "--db", d).code == 0
    assert retro("filter", "score", d, "--scorer", "words:w.txt", "--as", "w").code == 0
    r = retro(
        "filter", "add", d, "--min-toxicity", "0.1", "--scores", "w", "--reason", "x", "--yes"
    )
    v = retro("filter", "verify", d)
    retro("filter", "score", d, "--scorer", "words:w.txt", "--as", "w")
    assert r.code == 0
    assert v.code == 0
