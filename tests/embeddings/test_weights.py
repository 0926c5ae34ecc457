from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from retro_cli.embeddings.weights import Weights
from retro_cli.errors import IntegrityError


def raw_file(path, header, data=b""):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_a_tensor_reads_back_as_it_was_saved(tmp_path, dtype):
    table = np.arange(12, dtype=dtype).reshape(3, 4) / 7
    save_file({"t": table, "other": np.ones(2, np.float32)}, str(tmp_path / "m"))
    weights = Weights(tmp_path / "m")
    assert set(weights.names) == {"t", "other"}
    assert "t" in weights
    assert weights.shape("t") == (3, 4)
    np.testing.assert_array_equal(weights.raw("t"), table)
    np.testing.assert_array_equal(weights.float32("t"), table.astype(np.float32))
    picked = weights.float32("t", np.array([2, 0]))
    np.testing.assert_array_equal(picked, table[[2, 0]].astype(np.float32))


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.0, -2.5, 3.140625], dtype=np.float32)
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {"t": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}
    weights = Weights(raw_file(tmp_path / "m", header, data))
    np.testing.assert_array_equal(weights.float32("t"), values)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]},
        {"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]},
        {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
        {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]},
    ],
)
def test_a_tensor_that_does_not_fit_the_file_is_refused(tmp_path, entry):
    weights = Weights(raw_file(tmp_path / "m", {"t": entry}, bytes(8)))
    with pytest.raises(IntegrityError):
        weights.raw("t")


def test_a_missing_tensor_and_a_missing_file_are_integrity_errors(tmp_path):
    with pytest.raises(IntegrityError, match="missing"):
        Weights(raw_file(tmp_path / "m", {})).raw("t")
    with pytest.raises(IntegrityError):
        Weights(tmp_path / "nothing")


@pytest.mark.parametrize("header", [b"", b"[]", b"{", b'{"t": 3}', b"\xff"])
def test_a_header_that_is_not_one_is_refused(tmp_path, header):
    with pytest.raises(IntegrityError):
        Weights(raw_file(tmp_path / "m", header))


def test_a_header_longer_than_the_file_is_refused(tmp_path):
    (tmp_path / "m").write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    with pytest.raises(IntegrityError, match="longer"):
        Weights(tmp_path / "m")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path, data):
    (tmp_path / "m").write_bytes(data)
    try:
        weights = Weights(tmp_path / "m")
    except IntegrityError:
        return
    assert isinstance(weights.names, tuple)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400))
def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path, cut):
    save_file({"t": np.arange(64, dtype=np.float32)}, str(tmp_path / "whole"))
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "m").write_bytes(whole[: min(cut, len(whole) - 1)])
    with pytest.raises(IntegrityError):
        Weights(tmp_path / "m").raw("t")
