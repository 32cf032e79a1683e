"""The OpenVINO engine gives the reference's numbers, whatever the number of cells a call has."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny import CANVAS_PX, library_or_skip

from vexas_edge.bundle.archive import open_bundle
from vexas_edge.bundle.contract import fused_contract
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import open_engine
from vexas_edge.errors import HostError

openvino = library_or_skip("openvino")
ROWS = fused_contract(canvas_px=CANVAS_PX, draw_size=10, encoding_width=12, n_classes=3).rows(4)
OPTIONS = EngineOptions(engine="openvino", threads=2, calls_at_once=2, rows=ROWS)


@pytest.fixture(scope="module")
def graph(tiny_bundle: Path) -> bytes:
    return open_bundle(tiny_bundle).model_file("neutrophil", "fused.fp32.onnx")


def feeds(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (n, CANVAS_PX, CANVAS_PX, 3), dtype=np.uint8)
    return {"cells": cells, "draws": rng.integers(0, n, (7, 10))}


@pytest.mark.parametrize("n", [1, 3, 4, 5, 9])
def test_outputs_are_the_reference_engines(graph: bytes, n: int) -> None:
    with open_engine(graph, EngineOptions(threads=1)) as reference:
        expected = reference.run(feeds(n))
    with open_engine(graph, OPTIONS) as engine:
        found = engine.run(feeds(n))
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        np.testing.assert_allclose(found[name], value, atol=1e-4)


def test_a_cells_encoding_does_not_depend_on_its_company(graph: bytes) -> None:
    fed = feeds(9)
    with open_engine(graph, OPTIONS) as engine:
        together = engine.run(fed)["encodings"]
        alone = [engine.run({**fed, "cells": fed["cells"][i : i + 1]}) for i in range(9)]
    assert np.array_equal(together, np.concatenate([each["encodings"] for each in alone]))


def test_calls_from_many_threads_do_not_mix(graph: bytes) -> None:
    calls = [feeds(3, seed) for seed in range(12)]
    with open_engine(graph, OPTIONS) as engine, ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(engine.run, calls))
        in_turn = [engine.run(call) for call in calls]
    for one, other in zip(at_once, in_turn, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_engine_says_what_it_is(graph: bytes) -> None:
    with open_engine(graph, OPTIONS) as engine:
        assert (engine.name, engine.device, engine.threads) == ("openvino", "cpu", 2)
        assert openvino.__version__.startswith(engine.version)
        assert engine.shapes["cells"] == (None, CANVAS_PX, CANVAS_PX, 3)


def test_cuda_is_refused(graph: bytes) -> None:
    with pytest.raises(HostError, match="openvino does not run on CUDA"):
        open_engine(graph, EngineOptions(engine="openvino", device="cuda"))


def test_a_corrupt_graph_is_refused() -> None:
    with pytest.raises(HostError, match="openvino cannot load the graph: "):
        open_engine(b"no graph", OPTIONS)


@pytest.mark.parametrize("location", ["secret.bin", "/etc/secret.bin"])
def test_a_graph_that_reads_another_file_is_refused(location: str) -> None:
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "reads_a_file",
        [value("x", TensorProto.FLOAT, [4])],
        [value("y", TensorProto.FLOAT, [4])],
        [weights],
    )
    content = helper.make_model(graph, ir_version=10).SerializeToString()
    with pytest.raises(HostError, match="refers to another file"):
        open_engine(content, OPTIONS)


def test_a_weight_that_is_named_like_a_location_is_no_other_file() -> None:
    weights = "<float[4] relocation = {1,1,1,1}>"
    text = f"g (float[4] x) => (float[4] y) {weights} {{ y = Add(x, relocation) }}"
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(onnx.parser.parse_graph(text), ir_version=10, opset_imports=opset)
    with open_engine(model.SerializeToString(), EngineOptions(engine="openvino")) as engine:
        assert np.array_equal(engine.run({"x": np.zeros(4, np.float32)})["y"], np.ones(4))
