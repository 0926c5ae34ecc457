from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.embeddings.bert_numpy import gelu, unit_rows

COLD = """
import sys
from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.resolve import resolve
resolved = resolve(sys.argv[1], verify=False)
assert load_encoder(resolved, purpose="query").encode_queries(["the ferry"]).shape == (1, 32)
heavy = {"torch", "transformers", "sentence_transformers", "onnx", "onnxruntime", "pyarrow"}
print(sorted(heavy & set(sys.modules)))
"""


def test_gelu_is_exact_to_float32_rounding():
    x = np.linspace(-12, 12, 20_001, dtype=np.float32)
    exact = np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.astype(float).tolist()])
    error = np.abs(gelu(x) - exact)
    assert (error <= 2e-7 * np.maximum(1, np.abs(x))).all()


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_gelu_is_finite_for_every_finite_number(x):
    with np.errstate(over="ignore"):
        value = float(gelu(np.array([x], dtype=np.float32))[0])
    assert math.isfinite(value)


def test_a_zero_row_stays_zero():
    rows = unit_rows(np.array([[0, 0], [3, 4]], dtype=np.float32))
    np.testing.assert_allclose(rows, [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_a_query_loads_nothing_heavy(make_bert):
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(make_bert())], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
