"""The proof passes when all is well, and a leak that was built on purpose is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli.filters.ledger import load_ledger
from retro_cli.index.bitmaps import load_bitmap, save_bitmap
from retro_cli.index.catalogue import current_generation, excluded_rows
from retro_cli.index.generation import Filtered
from retro_cli.query.retrieve import Retriever
from retro_cli.store.layout import Layout
from retro_cli.upkeep.proof import prove


@pytest.fixture
def library(retro, static_encoder, tmp_path):
    """A database with a filtered source, whose texts another source partly shares."""
    records = [
        {"id": f"{source}{n}", "source": source, "text": f"the boat {n} of {source} the storm {n}"}
        for source in ("bad", "good")
        for n in range(8)
    ]
    records += [{"id": f"twin-{s}", "source": s, "text": "the same twin"} for s in ("bad", "good")]
    write_jsonl(tmp_path / "p.jsonl", records)
    made = retro(
        "build", "p.jsonl", "--db", "p.db", "--encoder", static_encoder, "--tokens", 6
    )  # fmt: skip
    assert made.code == 0, made.err
    added = retro("filter", "add", "p.db", "--source", "bad", "--reason", "insults")
    assert added.code == 0, added.err
    return Layout(tmp_path / "p.db")


def tamper(layout, **changes):
    """Save the current generation again with other parts."""
    generation = current_generation(layout.index)
    replace(generation, **changes).save(layout.index)


def bits_of(layout, which):
    generation = current_generation(layout.index)
    manifest_rows = 200
    if which == "dead":
        return load_bitmap(layout.index, generation.dead, manifest_rows)
    return excluded_rows(layout.index, generation, manifest_rows)


def leaks(retro):
    result = retro("filter", "verify", "p.db", "--json")
    assert result.code in (0, 4), result.err
    found = result.rows[0]["leaks"]
    assert (result.code == 4) == bool(found)
    return found


def test_all_is_well_after_a_rule_and_after_its_undo(retro, library):
    assert leaks(retro) == []
    proof = prove(library)
    assert proof.rules == (1,)
    assert proof.removed > 8
    assert proof.searched == proof.removed
    assert proof.reachable == proof.live < proof.stored
    assert proof.recall == 1.0
    assert proof.results > proof.searched
    assert proof.queries_are == "their own texts"
    assert retro("filter", "undo", "p.db", 1).code == 0
    after = prove(library)
    assert (after.rules, after.removed, after.leaks) == ((), 0, [])


def test_without_its_encoder_the_proof_asks_with_the_stored_vectors(retro, library):
    assert retro("export", "p.db", "v.npy", "--with-filtered").code == 0
    assert retro("embed", "p.db", "--from", "v.npy").code == 0
    assert retro("index", "p.db").code == 0
    proof = prove(library)
    assert (proof.queries_are, proof.leaks) == ("their stored vectors", [])
    assert proof.searched == proof.removed > 0
    assert proof.recall == 1.0


def test_copies_that_survive_are_counted_and_their_sources_named(library, retro):
    proof = prove(library)
    assert proof.copies >= 1
    assert proof.copies_in == ("good",)
    add = ["filter", "add", "p.db", "--source", "bad", "--copies", "exact", "--reason", "x"]
    assert retro(*add).code == 0
    assert prove(library).copies == 0


def test_older_generations_that_still_hold_removed_chunks_are_named(library):
    assert prove(library).older == ("1",)


def test_a_removed_chunk_that_follows_a_kept_one_as_its_continuation_is_a_leak(
    retro, library, monkeypatch
):
    assert retro("filter", "undo", "p.db", 1).code == 0
    first = retro("query", "p.db", "the boat 1 of good the storm 1", "--json").rows[0]["hits"][0]
    assert first["continuation"]
    following = first["chunk"] + 1
    assert retro("filter", "add", "p.db", "--chunk", following, "--reason", "x").code == 0
    assert prove(library).leaks == []
    monkeypatch.setattr(Retriever, "_may_continue", lambda *_: True)
    assert f"chunk {following} was found" in prove(library).leaks[0]


def test_a_generation_that_holds_nothing_removed_is_not_named(retro, library):
    assert prove(library).older == ("1",)
    assert retro("filter", "add", "p.db", "--match", "zebra", "--reason", "x", "--yes").code == 0
    assert prove(library).older == ("1",)  # the second has the same chunks masked


def test_a_sample_of_none_still_looks_at_the_structure(library, retro):
    assert prove(library, sample=0).searched == 0
    dead = bits_of(library, "dead")
    tamper(library, dead=save_bitmap(library.index, "dead", np.zeros_like(dead)))
    assert retro("filter", "verify", "p.db", "--sample", 0).code == 4


def test_a_sample_of_none_still_counts_copies_and_older_generations(library):
    proof = prove(library, sample=0)
    assert (proof.copies >= 1, proof.copies_in, proof.older) == (True, ("good",), ("1",))


def test_a_proof_without_a_search_says_why(library, retro):
    def search_line(*how):
        (line,) = [
            line
            for line in retro("filter", "verify", "p.db", *how).out.splitlines()
            if line.startswith("search: ")
        ]
        return line

    assert "removed chunks asked for by their own texts" in search_line()
    assert "--sample 0" in search_line("--sample", 0)
    assert retro("compact", "p.db", "--purge", "--yes").code == 0
    left = "search: nothing removed is left to search with: the purge took its text"
    assert search_line() == left
    assert retro("filter", "verify", "p.db", "--json").rows[0]["purged"] == [1]


def test_a_rule_that_takes_nothing_yet_gives_nothing_to_search_with(db, retro):
    assert retro("filter", "add", db, "--match", "zeppelin", "--reason", "x", "--yes").code == 0
    assert "search: nothing is removed yet" in " ".join(retro("filter", "verify", db).out.split())


@pytest.mark.parametrize("how", ["one", "all"])
def test_a_removed_row_that_no_mask_covers_is_a_leak(library, retro, how):
    dead = bits_of(library, "dead")
    gone = np.flatnonzero(dead)
    dead[gone[:1] if how == "one" else gone] = False
    tamper(library, dead=save_bitmap(library.index, "dead", dead))
    found = leaks(retro)
    assert any(f"chunk {gone[0]} can be reached" in leak for leak in found)


def test_a_mask_that_lacks_a_removed_row_is_a_leak_where_no_text_is_said_twice(retro, db):
    """As above, without merged rows: there the search itself brings the row back."""
    assert retro("filter", "add", db, "--doc", "p1", "--reason", "insults").code == 0
    generation = current_generation(Layout(db).index)
    none = save_bitmap(db / "index", "dead", np.zeros(200, dtype=bool))
    replace(generation, dead=none).save(db / "index")
    result = retro("filter", "verify", db, "--json")
    assert result.code == 4
    leaks = " ".join(result.rows[0]["leaks"])
    assert "can be reached" in leaks
    assert "was found" in leaks


def test_a_merged_row_that_may_be_shown_again_is_a_leak(library, retro):
    excluded = bits_of(library, "excluded")
    gone = np.flatnonzero(excluded)
    rows = save_bitmap(library.index, "excluded", np.zeros_like(excluded))
    tamper(library, filtered=replace(current_generation(library.index).filtered, rows=rows))
    assert any(f"chunk {gone[0]} may be shown" in leak for leak in leaks(retro))


def test_a_generation_that_knows_no_rules_is_a_leak(library, retro):
    tamper(library, filtered=Filtered())
    assert leaks(retro)


def test_an_older_generation_in_place_of_the_newest_is_a_leak(library, retro):
    (library.index / "CURRENT").write_text("gen-000001.json\n")
    assert leaks(retro)


def test_what_a_search_brings_back_is_a_leak_of_its_own(library, retro):
    """Both masks lack the same few rows, so that queries show them."""
    dead, excluded = bits_of(library, "dead"), bits_of(library, "excluded")
    shown = np.flatnonzero(dead & excluded)[:2]
    dead[shown] = excluded[shown] = False
    rows = save_bitmap(library.index, "excluded", excluded)
    tamper(
        library,
        dead=save_bitmap(library.index, "dead", dead),
        filtered=replace(current_generation(library.index).filtered, rows=rows),
    )
    found = " ".join(leaks(retro))
    for row in shown:
        for what in ("can be reached", "may be shown", "was found"):
            assert f"chunk {row} {what}" in found


def test_an_empty_bitmap_file_is_a_leak(library, retro):
    generation = current_generation(library.index)
    (library.index / generation.dead.name).write_bytes(b"")
    assert leaks(retro)


def test_a_rule_that_never_took_effect_is_a_leak(library, retro):
    from retro_cli.filters.rules import Rule

    load_ledger(library).added(Rule(0, "by hand", documents=("good3",))).save(library)
    assert leaks(retro)


def test_index_mends_what_verify_found_in_a_rule_that_never_took_effect(library, retro):
    from retro_cli.filters.rules import Rule

    load_ledger(library).added(Rule(0, "by hand", documents=("good3",))).save(library)
    assert retro("index", "p.db").code == 0
    assert leaks(retro) == []


@pytest.mark.parametrize("what", ["dead", "excluded"])
def test_index_mends_a_bitmap_that_verify_found_leaking_as_the_hint_promises(library, retro, what):
    generation = current_generation(library.index)
    none = save_bitmap(library.index, what, np.zeros(200, dtype=bool))
    if what == "dead":
        tamper(library, dead=none)
    else:
        tamper(library, filtered=replace(generation.filtered, rows=none))
    assert leaks(retro)
    assert retro("index", "p.db").code == 0
    assert leaks(retro) == []


def test_at_most_twenty_leaks_are_listed_and_never_none(library):
    none = np.zeros(200, dtype=bool)
    tamper(library, dead=save_bitmap(library.index, "dead", none), filtered=Filtered())
    assert len(prove(library).leaks) == 20


def test_the_proof_for_people_says_no_search_was_clean_when_it_was_not(library, retro):
    assert "none of a removed chunk" in retro("filter", "verify", "p.db").out
    tamper(library, filtered=Filtered())
    result = retro("filter", "verify", "p.db")
    assert result.code == 4
    assert "none of a removed chunk" not in result.out
    assert "leak:" in result.out


def test_copies_that_outlive_a_purge_are_counted_exact_and_near(retro, static_encoder, tmp_path):
    said = "the keeper of the light saw the boat in the storm and the ferry by the harbour "
    other = "a b c d e f g h i j k l m n o p q r s t u v w x y z "
    records = [
        {"id": name, "source": source, "text": text}
        for name, source, text in (
            ("bad", "bad", said), ("same", "same", said), ("like", "like", said + "boat"),
            ("other", "other", other),
        )
    ]  # fmt: skip
    write_jsonl(tmp_path / "p.jsonl", records)
    how = ["--encoder", static_encoder, "--tokens", 64]
    assert retro("build", "p.jsonl", "--db", "p.db", *how).code == 0
    assert retro("filter", "add", "p.db", "--source", "bad", "--reason", "x").code == 0

    def counted():
        proof = retro("filter", "verify", "p.db", "--json").rows[0]
        names = ("copies", "copies_in", "near_copies", "near_copies_in")
        return [proof[name] for name in names]

    def words():
        return " ".join(retro("filter", "verify", "p.db").out.split())

    survive = [1, ["same"], 1, ["like"]]
    assert counted() == survive
    assert "a rule with --copies near takes them too" in words()
    assert retro("compact", "p.db", "--purge", "--yes").code == 0
    assert counted() == survive
    shown = words()
    assert "near copies: 1 kept chunk says nearly the same as a removed one (in like)" in shown
    assert "name them in a rule" in shown
    for source in ("same", "like"):
        assert retro("filter", "add", "p.db", "--source", source, "--reason", "x").code == 0
    assert counted() == [0, [], 0, []]
