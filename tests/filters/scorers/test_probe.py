from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from retro_cli.errors import EncoderMismatch, InputNotFound, IntegrityError, UsageError
from retro_cli.filters.scorers import linear, tensors
from retro_cli.filters.scorers.contract import Batch
from retro_cli.filters.scorers.probe import About, Probe, ProbeScorer, load_probe
from retro_cli.filters.scorers.train import train_probe

ENCODER = "e" * 64
DIM = 16


@pytest.fixture(scope="module")
def trained(labelled) -> Probe:
    return train_probe(*labelled, encoder_fingerprint=ENCODER, trained_on="made-up rows")


def test_a_trained_probe_ranks_rows_it_has_not_seen(trained, rows):
    vectors, labels = rows(400, seed=7)
    scores = ProbeScorer(trained, ENCODER).score(Batch(None, vectors))
    auc = roc_auc_score(labels, scores)
    assert auc > 0.9
    assert trained.about.auc == pytest.approx(auc, abs=0.06)
    assert trained.about.rows == 600


def test_scores_are_probabilities_of_the_training_mixture(trained, rows):
    vectors, labels = rows(4000, seed=8)
    scores = ProbeScorer(trained, ENCODER).score(Batch(None, vectors))
    assert scores.mean() == pytest.approx(labels.mean(), abs=0.04)
    likely = scores > 0.5
    assert labels[likely].mean() == pytest.approx(scores[likely].mean(), abs=0.08)


def test_training_twice_gives_the_same_bytes(labelled, trained, tmp_path):
    again = train_probe(*labelled, encoder_fingerprint=ENCODER, trained_on="made-up rows")
    trained.save(tmp_path / "one.safetensors")
    again.save(tmp_path / "two.safetensors")
    one, two = (tmp_path / f"{name}.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_saved_probe_comes_back_whole(trained, rows, tmp_path):
    path = tmp_path / "probe.safetensors"
    trained.save(path)
    loaded = load_probe(path)
    assert loaded.about == trained.about
    vectors, _ = rows(50)
    batch = Batch(None, vectors)
    one, two = ProbeScorer(trained, ENCODER), ProbeScorer(loaded, ENCODER, "another name")
    assert (one.score(batch) == two.score(batch)).all()
    assert one.fingerprint == two.fingerprint


def test_other_weights_have_another_fingerprint(trained):
    other = dataclasses.replace(trained, bias=trained.bias + 1)
    assert ProbeScorer(other, ENCODER).fingerprint != ProbeScorer(trained, ENCODER).fingerprint


def test_vectors_of_another_encoder_are_refused(trained):
    with pytest.raises(EncoderMismatch):
        ProbeScorer(trained, "f" * 64)
    with pytest.raises(UsageError, match="dimensions"):
        ProbeScorer(trained, ENCODER).score(Batch(None, np.ones((2, DIM + 1), np.float16)))


def test_a_purged_row_scores_zero_and_a_row_does_not_depend_on_its_batch(
    trained, rows, monkeypatch
):
    vectors, _ = rows(300)
    vectors[11] = 0
    scorer = ProbeScorer(trained, ENCODER)
    whole = scorer.score(Batch(None, vectors))
    assert whole[11] == 0
    assert (whole > 0).sum() == 299
    monkeypatch.setattr(linear, "_BLOCK_ROWS", 7)
    assert (scorer.score(Batch(None, vectors)) == whole).all()
    alone = [scorer.score(Batch(None, vectors[row : row + 1]))[0] for row in range(300)]
    assert (np.array(alone) == whole).all()


def test_no_rows_give_no_scores(trained):
    empty = np.zeros((0, DIM), np.float16)
    assert ProbeScorer(trained, ENCODER).score(Batch(None, empty)).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.zeros(600), "too few"),
        (np.arange(600) % 3, "0 .* or 1"),
        (np.arange(599) % 2, "599 labels"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(labelled, labels, match):
    with pytest.raises(UsageError, match=match):
        train_probe(labelled[0], labels, encoder_fingerprint=ENCODER, trained_on="")


def test_a_vector_with_nan_is_refused(labelled):
    vectors = labelled[0].copy()
    vectors[3, 3] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        train_probe(vectors, labelled[1], encoder_fingerprint=ENCODER, trained_on="")


def test_a_broken_probe_is_an_integrity_error(trained, tmp_path):
    path = tmp_path / "probe.safetensors"
    with pytest.raises(InputNotFound):
        load_probe(path)
    trained.save(path)
    whole = path.read_bytes()
    for data in (b"", whole[:40], whole[:-3], b"not a file of tensors at all"):
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            load_probe(path)


@pytest.mark.parametrize(
    ("weights", "changed"),
    [
        (np.ones((2, 2), np.float32), {}),
        (np.full(4, np.nan, np.float32), {}),
        (np.ones(4, np.float16), {}),
        (np.ones(4, np.float32), {"format": "other"}),
        (np.ones(4, np.float32), {"bias": "x"}),
        (np.ones(4, np.float32), {"surplus": 1}),
    ],
)
def test_a_file_of_other_tensors_is_no_probe(tmp_path, weights, changed):
    path = tmp_path / "other.safetensors"
    about = dataclasses.asdict(About(ENCODER, "", 1, 0.5))
    tensors.save(
        path, {"weights": weights}, {"format": "retro-probe-1", "bias": 0.0, **about, **changed}
    )
    with pytest.raises(IntegrityError):
        load_probe(path)
