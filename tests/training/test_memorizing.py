"""A memory can be learned to be used, is saved with its base's hash, and is read by the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from nearest_helpers import VOCABULARY, opened, saved_model

from retro_cli.errors import IntegrityError, UsageError
from retro_cli.evaluate.tokenwise import memory_nats, memory_of
from retro_cli.models.memorizing import MemorizingModel
from retro_cli.models.memory_saving import load_config, load_memorizing
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.course import Course
from retro_cli.training.memorizing import (
    MemoryLesson,
    MemoryTraining,
    planned_windows,
    train_memory,
)

WINDOW = 16
TRAINING = MemoryTraining(window=WINDOW, windows=6, k=4)


@pytest.fixture
def tiny(tmp_path, bpe_path):
    return saved_model(tmp_path / "tiny", bpe_path)


def documents(count=3, length=40, seed=0):
    return np.random.default_rng(seed).integers(3, VOCABULARY, (count, length)).tolist()


def learn(model, given, settings, folder, lesson=MemoryLesson):
    """A course in a folder, which resumes what it finds there."""
    course = replace(settings.course(), save_every=2)
    checkpoints = Checkpoints(folder / "checkpoints", "run")
    return Course(
        lesson(model, given, settings), course, checkpoints, folder / "metrics.jsonl"
    ).run()


def test_each_document_is_read_window_after_window_from_its_beginning():
    found = planned_windows([40, 33, 20], MemoryTraining(window=16, windows=16))
    assert len(found) == 16
    begun = [each.document for each in found if not each.start]
    assert sorted(begun[:3]) == sorted(begun[3:6]) == [0, 1, 2]
    read = {n: [(w.start, w.stop) for w in found[:7] if w.document == n] for n in range(3)}
    assert read == {
        0: [(0, 16), (16, 32), (32, 40)],
        1: [(0, 16), (16, 32)],
        2: [(0, 16), (16, 20)],
    }


@pytest.mark.parametrize("layer", [True, False])
def test_only_the_gates_and_on_request_the_layer_learn(tiny, tmp_path, layer):
    language, _ = opened(tiny)
    model = MemorizingModel(language.network, window=WINDOW, k=4)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    settings = MemoryTraining(window=WINDOW, windows=6, k=4, train_layer=layer, rate=1e-2)
    assert len(learn(model, documents(), settings, tmp_path).losses) == 6
    # Two documents, each with a last window of half the length
    assert MemoryLesson(model, documents(), settings).tokens == 6 * 16 - 8 - 8
    changed = {
        name for name, weight in model.state_dict().items() if not weight.equal(before[name])
    }
    assert {"attention.gate", "attention.log_scale"} <= changed
    inside = {name for name in changed if name.startswith(f"base.model.layers.{model.layer - 1}.")}
    assert changed == {"attention.gate", "attention.log_scale"} | inside
    assert bool(inside) == layer


def few_words(seed):
    """Three windows that draw on three tokens of forty."""
    dice = np.random.default_rng(seed)
    return dice.choice(3 + dice.choice(40, 3, replace=False), 3 * WINDOW).tolist()


@pytest.mark.parametrize("layer", [True, False])
def test_a_course_that_was_killed_ends_as_one_that_was_not(tiny, tmp_path, layer):
    class Killed(MemoryLesson):
        def loss(self, step):
            if step == 5:
                raise KeyboardInterrupt
            return super().loss(step)

    settings = MemoryTraining(window=WINDOW, windows=8, k=4, rate=1e-2, train_layer=layer)
    ends = {}
    for name, lessons in (("quiet", [MemoryLesson]), ("killed", [Killed, MemoryLesson])):
        folder = tmp_path / name
        folder.mkdir()
        for lesson in lessons:
            model = MemorizingModel(opened(tiny)[0].network, window=WINDOW, k=4)
            if lesson is Killed:
                with pytest.raises(KeyboardInterrupt):
                    learn(model, documents(), settings, folder, lesson)
            else:
                losses = learn(model, documents(), settings, folder, lesson).losses
        ends[name] = (losses, model.state_dict())
    assert ends["quiet"][0] == ends["killed"][0]
    for weight, again in zip(*(end[1].values() for end in ends.values()), strict=True):
        assert torch.equal(weight, again)


def test_what_a_document_draws_on_is_remembered_where_a_window_begins(tiny, tmp_path):
    """Behind a window's first token a memory alone can know the words of the document."""
    language, _ = opened(tiny)
    model = MemorizingModel(language.network, layer=3, window=WINDOW, k=8)
    settings = MemoryTraining(layer=3, window=WINDOW, windows=500, k=8, rate=1e-2)
    learn(model, [few_words(seed) for seed in range(200)], settings, tmp_path)
    model.eval()
    begins = [WINDOW, WINDOW + 1, 2 * WINDOW, 2 * WINDOW + 1]
    nats = {True: [], False: []}
    for seed in range(1000, 1480):
        for learns, found in nats.items():
            found.append(memory_nats(model, few_words(seed), learns=learns)[begins].mean())
    gain = np.array(nats[False]) - np.array(nats[True])
    assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(len(gain))
    assert gain.mean() > 0.05


def test_scoring_window_by_window_is_scoring_token_by_token(tiny):
    language, _ = opened(tiny)
    model = MemorizingModel(language.network, window=WINDOW, k=4).eval()
    ids = documents(1, 41)[0]
    found = memory_nats(model, ids, learns=True)
    memory = None
    for start in range(0, 40, WINDOW):
        stop = min(start + WINDOW, 40)
        for end in range(start + 1, stop + 1):
            with torch.no_grad():
                passed = model(torch.tensor([ids[start:end]]), memory)
                logprobs = model.logits(passed.hidden[0, -1]).log_softmax(-1)
            assert found[end - 1] == pytest.approx(-float(logprobs[ids[end]]), abs=1e-3)
        memory = model.remembered(memory, passed.fresh)
    given = memory_of(model, ids[:WINDOW])
    rest = memory_nats(model, ids[WINDOW:], given, learns=True)
    np.testing.assert_allclose(rest, found[WINDOW:], atol=1e-3)


@pytest.mark.parametrize("layer", [True, False])
def test_a_saved_model_is_the_one_that_was_trained(tiny, tmp_path, layer):
    texts = ["the keeper of the light saw the ferry leave the harbour " * 3] * 2
    settings = MemoryTraining(window=WINDOW, windows=5, k=4, train_layer=layer, rate=1e-2)
    report = train_memory(tiny, texts, tmp_path / "out", settings, "cpu")
    assert report.windows == len(report.losses) == 5
    config = load_config(tmp_path / "out")
    assert config.base == str(tiny.resolve())
    models = [load_memorizing(opened(tiny)[0].network, config, tmp_path / "out") for _ in range(2)]
    ids = documents(1, 41)[0]
    assert np.array_equal(*(memory_nats(model, ids, learns=True) for model in models))
    gates = [round(gate, 4) for gate in models[0].attention.gate.sigmoid().tolist()]
    assert gates == list(report.gates)
    again = train_memory(tiny, texts, tmp_path / "out", settings, "cpu", overwrite=True)
    assert again.losses == report.losses


def test_a_folder_that_holds_another_model_and_texts_too_short_are_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="longer than a window"):
        train_memory(tiny, ["the ferry"], tmp_path / "out", TRAINING, "cpu")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="already"):
        train_memory(tiny, ["the ferry " * 30], tiny, TRAINING, "cpu")
    assert train_memory(tiny, ["the ferry " * 30], tmp_path / "out", TRAINING, "cpu") is not None
    assert train_memory(tiny, ["the ferry " * 30], tmp_path / "out", TRAINING, "cpu") is None
    with pytest.raises(UsageError, match="another training run"):
        train_memory(tiny, ["the boat " * 30], tmp_path / "out", TRAINING, "cpu")


@pytest.mark.parametrize("values", [{"windows": 0}, {"rate": 0.0}, {"rate": float("nan")}])
def test_settings_that_teach_nothing_are_refused(values):
    with pytest.raises(UsageError):
        MemoryTraining(**values)


def test_weights_that_are_not_all_there_are_no_model(tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    out = tmp_path / "out"
    train_memory(tiny, ["the ferry left " * 20], out, TRAINING, "cpu")
    weights = load_file(out / "model.safetensors")
    del weights["attention.gate"]
    save_file(weights, out / "model.safetensors")
    with pytest.raises(IntegrityError):
        load_memorizing(opened(tiny)[0].network, load_config(out), out)
    fields = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**fields, "model_type": "llama"}))
    with pytest.raises(UsageError, match="memorizing"):
        load_config(out)
