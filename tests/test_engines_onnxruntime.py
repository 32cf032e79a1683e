"""The engine contract and the onnxruntime engine: explicit threads, strict devices."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny import CANVAS_PX, WIDTH

from vexas_edge.bundle.archive import open_bundle
from vexas_edge.engines import cuda_start
from vexas_edge.engines import onnxruntime as module
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.engines.opening import device_of, open_engine
from vexas_edge.errors import HostError
from vexas_edge.host.libraries import load_library
from vexas_edge.host.process import MOST_THREADS, default_threads

onnxruntime = load_library("onnxruntime")

without_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="this onnxruntime has CUDA",
)


@pytest.fixture(scope="module")
def graph(tiny_bundle: Path) -> bytes:
    return open_bundle(tiny_bundle).model_file("neutrophil", "fused.fp32.onnx")


def feeds(n: int = 2) -> dict[str, np.ndarray]:
    cells = np.zeros((n, CANVAS_PX, CANVAS_PX, 3), np.uint8)
    return {"cells": cells, "draws": np.zeros((3, 10), np.int64)}


def test_all_outputs_come_by_name(graph: bytes) -> None:
    with open_engine(graph, EngineOptions(threads=1)) as engine:
        outputs = engine.run(feeds())
    assert {name: (value.dtype.name, value.shape) for name, value in outputs.items()} == {
        "encodings": ("float32", (2, WIDTH)),
        "probabilities": ("float32", (3, 3)),
        "decisions": ("float32", (3, 3)),
    }


def test_an_engine_says_what_it_is(graph: bytes) -> None:
    with open_engine(graph, EngineOptions(device="cpu", threads=3)) as engine:
        assert (engine.name, engine.version) == ("onnxruntime", onnxruntime.__version__)
        assert (engine.device, engine.threads) == ("cpu", 3)


def test_threads_are_set_and_do_not_spin(graph: bytes) -> None:
    with open_engine(graph, EngineOptions(threads=2)) as engine:
        options: Any = engine._session.get_session_options()  # type: ignore[attr-defined]
    assert options.intra_op_num_threads == 2
    assert options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_threads_default_to_the_cores_at_hand_up_to_a_bound(
    graph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert default_threads() == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert default_threads() == MOST_THREADS
    monkeypatch.delattr(os, "sched_getaffinity")  # as on Windows
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_threads() == 1
    with open_engine(graph, EngineOptions()) as engine:
        assert engine.threads == 1


def test_the_number_of_threads_does_not_change_a_bit(graph: bytes) -> None:
    rng = np.random.default_rng(0)
    given = feeds(9) | {"cells": rng.integers(0, 256, (9, CANVAS_PX, CANVAS_PX, 3), np.uint8)}
    found = []
    for threads in (1, 4):
        with open_engine(graph, EngineOptions(threads=threads)) as engine:
            found.append(engine.run(given)["encodings"])
    np.testing.assert_array_equal(found[0], found[1])


@without_cuda
def test_a_gpu_that_is_not_there_is_refused(graph: bytes) -> None:
    with pytest.raises(HostError) as refused:
        open_engine(graph, EngineOptions(device="cuda"))
    assert str(refused.value) == (
        f"device cuda was asked for, but this onnxruntime {onnxruntime.__version__} has no CUDA "
        "support; install onnxruntime-gpu[cuda,cudnn] in place of onnxruntime, or use --device cpu"
    )


@without_cuda
def test_a_silent_fall_back_to_the_cpu_is_refused(
    graph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # onnxruntime-gpu lists CUDA even where its libraries are missing, and then uses the CPU.
    cpu_session = onnxruntime.InferenceSession
    asked: list[dict[str, Any]] = []

    def on_the_cpu(graph: bytes, options: Any, _: Any, **more: Any) -> Any:
        asked.append(more)
        return cpu_session(graph, options, ["CPUExecutionProvider"])

    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0")
    monkeypatch.setattr(module, "load_cuda", lambda _: ())
    monkeypatch.setattr(cuda_start, "nvidia_gpu", lambda: None)
    module._cuda_failure.cache_clear()
    try:
        with pytest.raises(HostError, match=r"but no NVIDIA GPU, or no driver .* or use --device"):
            open_engine(graph, EngineOptions(device="cuda"))
        assert device_of(EngineOptions()) == "cpu"  # so no graph is chosen as if there were a GPU
        with open_engine(graph, EngineOptions(device="auto")) as engine:
            assert engine.device == "cpu"
    finally:
        module._cuda_failure.cache_clear()
    assert asked == [{"enable_fallback": 0}] * 2


def test_the_probe_for_a_gpu_is_a_graph_that_runs() -> None:
    session = onnxruntime.InferenceSession(module._NOTHING, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.array([3], np.float32)})[0] == [3]


@pytest.mark.parametrize("content", [b"", b"no graph", bytes(1000)])
def test_a_corrupt_graph_is_refused(content: bytes) -> None:
    with pytest.raises(HostError, match="onnxruntime cannot load the graph: "):
        open_engine(content, EngineOptions())


def test_a_device_without_memory_enough_is_no_bug_of_ours() -> None:
    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["shape"], ["zeros"])],
        "too_large",
        [helper.make_tensor_value_info("shape", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("zeros", TensorProto.FLOAT, ["N"])],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    with (
        open_engine(model, EngineOptions(threads=1)) as engine,
        pytest.raises(HostError, match="onnxruntime failed on cpu: "),
    ):
        engine.run({"shape": np.array([1 << 50])})


def test_a_graph_that_is_fed_wrongly_is_a_bug_and_keeps_its_traceback(graph: bytes) -> None:
    wrong = feeds(2) | {"draws": np.zeros((1, 9), np.int64)}  # one cell a draw too few
    with open_engine(graph, EngineOptions(threads=1)) as engine, pytest.raises(Exception) as bug:
        engine.run(wrong)
    assert type(bug.value).__name__ == "InvalidArgument"


def test_a_graph_that_points_past_its_data_fails_as_a_device_does(graph: bytes) -> None:
    past = feeds(2) | {"draws": np.full((1, 10), 7, np.int64)}  # no such cell
    with (
        open_engine(graph, EngineOptions(threads=1)) as engine,
        pytest.raises(HostError, match="failed on cpu: .*indices element out of data bounds"),
    ):
        engine.run(past)


def test_closing_lets_go_of_the_session(graph: bytes) -> None:
    engine = open_engine(graph, EngineOptions(threads=1))
    with engine:
        pass
    assert engine._session is None  # type: ignore[attr-defined]


def test_a_graph_that_reads_weights_from_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = np.full((300, 4), 2, np.float32)
    (tmp_path / "w.bin").write_bytes(weights.tobytes())
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]>'
        " g (float[N,300] x) => (float[N,4] y) { y = MatMul (x, w) }"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "w.bin")
    model.graph.initializer[0].ClearField("raw_data")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HostError, match="onnxruntime cannot load the graph"):
        open_engine(model.SerializeToString(), EngineOptions(device="cpu"))
