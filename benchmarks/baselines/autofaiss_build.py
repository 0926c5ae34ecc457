"""Build and search an index by autofaiss, in an environment of its own: see index.py.

    python autofaiss_build.py VECTORS_FOLDER QUERIES.npy INDEX_FILE IDS.npy MEMORY

Prints one JSON object: seconds of ``build_index``, those of them before it began to tune and to
measure, the factory it chose, milliseconds a query.
"""

import json
import logging
import sys
import time

import faiss
import numpy as np
from autofaiss import build_index

K = 10


class Tuning(logging.Handler):
    """Notes when autofaiss says that it begins to tune."""

    began = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if "Computing best hyperparameters" in record.getMessage() and not self.began:
            self.began = time.perf_counter()


if __name__ == "__main__":
    vectors, queries_file, index_file, ids_file, memory = sys.argv[1:]
    queries = np.load(queries_file)
    tuning = Tuning()
    logging.getLogger("autofaiss").addHandler(tuning)
    called = time.perf_counter()
    index, facts = build_index(
        embeddings=vectors,
        index_path=index_file,
        index_infos_path=index_file + ".json",
        metric_type="ip",
        current_memory_available=memory,
        max_index_memory_usage="8G",
        verbose=logging.INFO,
    )
    seconds = time.perf_counter() - called
    if index is None:
        raise SystemExit("autofaiss built nothing")
    _, ids = index.search(queries, K)
    np.save(ids_file, ids)
    faiss.omp_set_num_threads(1)
    times = []
    for query in queries[:200]:
        begun = time.perf_counter()
        index.search(query[None], K)
        times.append(1000 * (time.perf_counter() - begun))
    found = {
        "seconds": seconds,
        "before tuning": tuning.began - called,
        "factory": facts["index_key"],
        "parameters": facts["index_param"],
        "query_ms": float(np.median(times)),
    }
    print(json.dumps(found))
