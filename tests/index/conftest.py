"""Small databases of clustered vectors, with a gap in the ids, empty rows and exact copies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

DIM = 32
FIRST, GAP, SECOND = 2500, 77, 3500
EMPTY = (5, 1000, 4000)
ORIGINAL, COPIES = 200, (201, 202, 3000)
FACTORIES = {
    "exact": "Flat",
    "sq8": "IVF32,SQ8",
    "rabitq": "IVF32,RaBitQfs",
    "pq": "IVF32,PQ16x4fs",
    "graph": "IVF32_HNSW32,SQ8",
    "rotated": "RR24,IVF32,SQ8",
}


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(count, dim=DIM, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((60, dim))
    return unit(centres[rng.integers(60, size=count)] + 1.1 * rng.standard_normal((count, dim)))


@dataclass(frozen=True)
class Corpus:
    folder: Path
    vectors: object
    live: np.ndarray  # bool by id: every row that has a vector

    @property
    def ids(self):
        return np.flatnonzero(self.live)

    def queries(self, count=40, seed=9):
        rng = np.random.default_rng(seed)
        rows = self.vectors.gather(rng.choice(self.ids, count, replace=False))
        return unit(rows + 0.05 * rng.standard_normal(rows.shape))

    def truth(self, queries, k, live=None):
        """(q, k) scores by the plainest arithmetic, -inf where there are fewer rows."""
        ids = self.ids if live is None else np.flatnonzero(live & self.live)
        scores = queries @ self.vectors.gather(ids).T
        best = -np.sort(-scores, axis=1)[:, :k]
        return np.pad(best, ((0, 0), (0, k - best.shape[1])), constant_values=-np.inf)


@dataclass(frozen=True)
class Built:
    corpus: Corpus
    template: Path
    segments: list
    plan: object

    def searcher(self, dead=None, nprobe=8, candidates=None, segments=None):
        from retro_cli.index.search import Searcher

        bits = None if dead is None else np.packbits(dead, bitorder="little")
        wanted = candidates or self.plan.candidates
        return Searcher(segments or self.segments, self.corpus.vectors, bits, nprobe, wanted)

    def everything(self, dead=None, segments=None):
        """A searcher that looks everywhere and scores every candidate exactly."""
        return self.searcher(dead, nprobe=32, candidates=7000, segments=segments)


def write_parts(folder, rows, sizes, gap):
    from retro_cli.index.vectors import VectorPart

    parts, base, at = [], 0, 0
    for number, size in enumerate(sizes):
        path = folder / f"part-{number}.npy"
        np.save(path, rows[at : at + size].astype(np.float16))
        parts.append(VectorPart(str(path), base, size))
        at += size
        base += size + gap
    return parts


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    from retro_cli.index.vectors import Vectors

    folder = tmp_path_factory.mktemp("vectors")
    rows = clustered(FIRST + SECOND)
    starts = np.arange(FIRST + SECOND) + GAP * (np.arange(FIRST + SECOND) >= FIRST)
    place = {int(number): row for row, number in enumerate(starts)}
    rows[[place[number] for number in EMPTY]] = 0
    rows[[place[number] for number in COPIES]] = rows[place[ORIGINAL]]
    vectors = Vectors(write_parts(folder, rows, (FIRST, SECOND), GAP)[::-1], DIM)
    live = np.zeros(vectors.total, dtype=bool)
    live[starts] = True
    live[list(EMPTY)] = False
    return Corpus(folder, vectors, live)


@pytest.fixture(scope="session")
def build(corpus):
    """Builds each kind of index once: the template and three segments."""
    import faiss

    from retro_cli.index.plan import plan_index
    from retro_cli.index.segments import build_segment
    from retro_cli.index.train import train_template

    made = {}

    def get(kind):
        if kind not in made:
            plan = plan_index(len(corpus.ids), DIM, 1 << 30, factory=FACTORIES[kind])
            template = corpus.folder / f"{kind}.template"
            trained = train_template(corpus.vectors, corpus.live, plan, seed=1, threads=1)
            faiss.write_index(trained, str(template))
            segments = []
            for number, ids in enumerate(np.split(np.sort([*corpus.ids, *EMPTY]), [3000, 5000])):
                out = corpus.folder / f"{kind}-{number}.faiss"
                build_segment(template, corpus.vectors, ids, out, threads=1)
                segments.append(out)
            made[kind] = Built(corpus, template, segments, plan)
        return made[kind]

    return get


@pytest.fixture(params=list(FACTORIES))
def built(request, build):
    return build(request.param)


class Recorder:
    """Keeps what a stage tells."""

    def __init__(self):
        self.warnings, self.tasks = [], {}

    def started(self, task, total, unit):
        self.tasks[task] = [total, 0, None]

    def advanced(self, task, amount):
        self.tasks[task][1] += amount

    def finished(self, task, summary=""):
        self.tasks[task][2] = summary

    def note(self, message):
        pass

    def warn(self, message):
        self.warnings.append(message)


@pytest.fixture
def recorder():
    return Recorder()
