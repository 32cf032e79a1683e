"""The OpenVINO engine gives the reference's numbers, whatever the number of cells a call has."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny import CANVAS_PX, library_or_skip, there

from vexas_edge import read_case, score_case
from vexas_edge.bundle.archive import open_bundle
from vexas_edge.bundle.contract import HeadSizes, fused_contract, images_tensor
from vexas_edge.choices import Device, EngineName, Precision
from vexas_edge.engines import openvino as module
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import device_of, open_engine
from vexas_edge.errors import DeviceMemoryError, HostError, MissingEngineError
from vexas_edge.host.cache import FOLDER_VARIABLE
from vexas_edge.runtime.choice import Measured, remember
from vexas_edge.runtime.prepare import prepare_bundle
from vexas_edge.runtime.session import Sessions
from vexas_edge.runtime.settings import CALL_SIZES

openvino = library_or_skip("openvino")
ROWS = fused_contract(
    images_tensor(CANVAS_PX), HeadSizes(encoding_width=12, draw_size=10, n_classes=3)
).rows(4)
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


# Intel's GPUs. None is here: OpenVINO's core is made to say that there is one, and computes on the
# CPU in truth.


class CoreWithGpu:
    """OpenVINO's core with a GPU. properties: of each graph that was compiled for it."""

    most_rows = 1000
    properties: ClassVar[list[dict[str, Any]]] = []

    def __init__(self) -> None:
        self._core = openvino.Core()
        self.available_devices = ["CPU", "GPU.0", "GPU.1"]
        self.read_model = self._core.read_model

    def compile_model(self, model: Any, device: str, properties: dict[str, Any]) -> Any:
        if device == "CPU":
            return self._core.compile_model(model, device, properties)
        self.properties.append(properties)
        if model.input("cells").shape[0] > self.most_rows:
            raise RuntimeError("[GPU] Exceeded max size of memory object allocation")
        return self._core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> type[CoreWithGpu]:
    library = SimpleNamespace(Core=CoreWithGpu, __version__=openvino.__version__)
    monkeypatch.setattr(module, "_library", lambda: library)
    monkeypatch.setattr(CoreWithGpu, "properties", [])
    return CoreWithGpu


ON_GPU = replace(OPTIONS, device="intel-gpu")
DEVICES_TO_COMPARE: tuple[Device, ...] = ("cpu", "intel-gpu")


@pytest.mark.usefixtures("gpu")
def test_an_intel_gpu_is_found_and_used_where_it_is_named() -> None:
    assert module.devices() == ("cpu", "intel-gpu")
    assert device_of(ON_GPU) == "intel-gpu"
    assert device_of(OPTIONS) == "cpu"  # until `prepare` has found the GPU to be the fastest


def test_without_an_intel_gpu_nothing_replaces_it(graph: bytes) -> None:
    if "intel-gpu" in module.devices():
        pytest.skip("an Intel GPU is here")
    with pytest.raises(HostError, match="openvino finds no Intel GPU; install Intel's graphics"):
        open_engine(graph, ON_GPU)


@pytest.mark.parametrize("engine", ["onnxruntime", "tensorrt"])
def test_the_other_engines_refuse_intels_gpus(graph: bytes, engine: EngineName) -> None:
    with pytest.raises(HostError, match=f"{engine} does not run on "):
        open_engine(graph, replace(ON_GPU, engine=engine))


@pytest.mark.parametrize(("precision", "hint"), [("fp32", "f32"), ("int8", "f32"), ("fp16", "f16")])
def test_a_gpu_computes_in_what_the_graph_states(
    graph: bytes,
    gpu: type[CoreWithGpu],
    precision: Precision,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with open_engine(graph, EngineOptions(threads=1)) as reference:
        expected = reference.run(feeds(3))
    with open_engine(graph, replace(ON_GPU, precision=precision)) as engine:
        assert (engine.name, engine.device) == ("openvino", "intel-gpu")
        found = engine.run(feeds(3))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)
    assert gpu.properties[0] == {
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": 2,
        "CACHE_DIR": str(tmp_path / "compiled"),
    }


def test_a_gpu_without_memory_for_a_call_is_told_as_such(
    graph: bytes, gpu: type[CoreWithGpu], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "most_rows", 4)
    with open_engine(graph, ON_GPU) as engine:
        for n_cells in (4, 3, 2, 1):
            assert len(engine.run(feeds(n_cells))["encodings"]) == n_cells
        with pytest.raises(DeviceMemoryError, match="too little free memory for openvino"):
            engine.run(feeds(9))


@pytest.mark.usefixtures("gpu")
def test_a_smear_is_scored_on_an_intel_gpu_that_is_named(
    tiny_bundle: Path, tiny_case: Path
) -> None:
    bundle = open_bundle(tiny_bundle)
    results = []
    for device in DEVICES_TO_COMPARE:
        options = EngineOptions(device=device, threads=2)
        with read_case(tiny_case) as case, Sessions(bundle, options) as sessions:
            results.append(score_case(case, bundle, sessions))
    on_cpu, on_gpu = results
    assert (there(on_gpu.run).engine, there(on_gpu.run).device) == ("openvino", "intel-gpu")
    for one, other in zip(on_cpu.models, on_gpu.models, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.usefixtures("gpu")
def test_prepare_tries_an_intel_gpu_and_remembers_its_time(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    ways = prepare_bundle(bundle, lambda _: None, threads=1, seconds=0.05)
    (way,) = (w for w in ways if (w.device, w.precision) == ("intel-gpu", "fp32"))
    assert way.problem is None
    assert way.cells_per_call in CALL_SIZES


def test_a_smear_is_scored_in_smaller_calls_where_a_gpu_has_little_memory(
    gpu: type[CoreWithGpu],
    tiny_bundle: Path,
    tiny_case: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = open_bundle(tiny_bundle)
    results = []
    for most_rows in (1000, 4):
        monkeypatch.setattr(gpu, "most_rows", most_rows)
        options = EngineOptions(device="intel-gpu", threads=2)
        with read_case(tiny_case) as case, Sessions(bundle, options) as sessions:
            results.append([model.score for model in score_case(case, bundle, sessions).models])
    assert results[0] == pytest.approx(results[1], abs=1e-4)


def test_an_intel_gpu_is_tested_at_each_opening(gpu: type[CoreWithGpu], tiny_bundle: Path) -> None:
    """What `prepare` remembers does not change with the driver of such a GPU."""
    bundle = open_bundle(tiny_bundle)
    way = Measured(engine="openvino", device="intel-gpu", precision="fp32", ms_per_cell=0.1)
    remember(bundle, [way])
    with Sessions(bundle, EngineOptions(threads=2)) as sessions:
        assert sessions.graph.proved
        sessions.fused("neutrophil")
    assert len(gpu.properties) == 1  # it was compiled, to be tested


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_an_openvino_that_cannot_start_is_missing(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(_: str) -> None:
        raise error("a library of its own does not load")

    module._library.cache_clear()
    monkeypatch.setattr(module, "load_library", fails)
    try:
        with pytest.raises(MissingEngineError, match=r"openvino cannot be loaded \(a library of"):
            module.devices()
    finally:
        module._library.cache_clear()
