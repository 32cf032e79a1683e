"""Our own logic around TensorRT, run against a stand-in; neither TensorRT nor a GPU is here.

What TensorRT and CUDA really do with these calls is not shown by any of this.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tensorrt_standin import GRAPH, VERSION, CudaError, Standin, description_of, graph_bytes
from test_runtime_choice import with_graphs
from tiny import Ended

from export.cli import cli as export_cli
from export.engine import build_engines
from vexas_edge import open_bundle
from vexas_edge.bundle.graphs import FUSED, precision_of
from vexas_edge.choices import Precision
from vexas_edge.commands.console import run_command_line
from vexas_edge.engines.contract import EngineOptions, RowGroup
from vexas_edge.engines.opening import devices_of, open_engine
from vexas_edge.errors import HostError, UsageError
from vexas_edge.host import cache
from vexas_edge.host.facts import nvidia_gpu
from vexas_edge.runtime.choice import choose_graph
from vexas_edge.runtime.session import Sessions

OURS = tuple(f"vexas_edge.engines.tensorrt.{name}" for name in ("nvidia", "build", "engine"))
ROWS = (
    RowGroup(tensors=frozenset({"cells", "encodings"}), most=6, block=6),
    RowGroup(tensors=frozenset({"draws", "probabilities", "decisions"}), most=64),
)
OPTIONS = EngineOptions(engine="tensorrt", threads=2, rows=ROWS)
BUILD = replace(OPTIONS, build=True)
without_tensorrt = pytest.mark.skipif(
    find_spec("tensorrt") is not None, reason="TensorRT is installed"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """The stand-in, in the place of both packages for one test."""
    found = Standin()
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in OURS:
        sys.modules.pop(name, None)
    nvidia_gpu.cache_clear()
    monkeypatch.setenv("PATH", "")  # no nvidia-smi
    yield found
    nvidia_gpu.cache_clear()
    for name in OURS:
        sys.modules.pop(name, None)


def feeds(n_cells: int, n_draws: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    px, draw_size = GRAPH["canvas_px"], GRAPH["draw_size"]
    return {
        "cells": rng.integers(0, 256, (n_cells, px, px, 3), dtype=np.uint8),
        "draws": rng.integers(0, n_cells, (n_draws, draw_size)),
    }


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}-*.entry"))


# Building


def test_the_builder_is_told_all_that_moves_numbers(standin: Standin) -> None:
    open_engine(graph_bytes(), BUILD)
    (config,) = standin.configs
    assert config.flags == set()  # TF32 cleared, REFIT never set
    assert config.profiling_verbosity == "DETAILED"
    assert [profile["cells"] for profile in config.profiles] == [[(n, 8, 8, 3)] * 3 for n in (1, 6)]
    assert [profile["draws"] for profile in config.profiles] == [[(64, 3)] * 3] * 2


@pytest.mark.usefixtures("standin")
def test_progress_and_proof_are_reported() -> None:
    said: list[str] = []
    open_engine(graph_bytes(), replace(BUILD, report=said.append))
    assert said == [
        "building: Tactics, 1 of 2",
        *(f"built for {n} rows per call: convolutions: fp32 2; products: none" for n in (1, 6)),
    ]


def test_a_plan_is_built_once_and_timings_are_kept_for_the_next_graph(
    standin: Standin, own_cache: Path
) -> None:
    for _ in range(2):
        open_engine(graph_bytes(), BUILD)
    assert len(standin.configs) == 1
    open_engine(graph_bytes(another=True), BUILD)
    assert [config.timings for config in standin.configs] == [b"", b"+1"]
    assert len(files(own_cache, "tensorrt-plan")) == 2
    assert len(files(own_cache, "tensorrt-timings")) == 1


def test_nothing_is_built_unasked_and_the_reason_is_named(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HostError) as refused:
        open_engine(graph_bytes(), OPTIONS)
    assert str(refused.value) == (
        "tensorrt has no engine for this graph on this PC: never done on this PC; build it, which "
        "takes minutes, with `vexas-edge prepare --bundle BUNDLE` or `vexas-workshop export engine "
        "BUNDLE`, or use --engine onnxruntime"
    )
    open_engine(graph_bytes(), BUILD)
    assert open_engine(graph_bytes(), OPTIONS).version == VERSION
    runtime = sys.modules["cuda.bindings.runtime"]
    monkeypatch.setattr(runtime, "cudaDriverGetVersion", lambda: (CudaError.cudaSuccess, 13010))
    with pytest.raises(HostError, match="driver CUDA 13000, now CUDA 13010; build it"):
        open_engine(graph_bytes(), OPTIONS)
    assert len(standin.configs) == 1


@pytest.mark.parametrize("wanted", ["int8", "fp16"])
def test_an_engine_that_computes_in_float32_is_not_kept(
    standin: Standin, own_cache: Path, wanted: Precision
) -> None:
    with pytest.raises(
        HostError, match=f"built for {wanted}, but its convolutions compute in fp32 2"
    ):
        open_engine(graph_bytes(), replace(BUILD, precision=wanted))
    assert files(own_cache, "tensorrt-plan") == []
    assert (standin.memory, standin.streams) == ({}, {})  # closed


def test_a_precision_that_is_proved_is_kept_under_its_name(standin: Standin) -> None:
    standin.describes = description_of(("conv1", "Int8"), ("conv2", "Int8"))
    open_engine(graph_bytes(), replace(BUILD, precision="int8"))
    with pytest.raises(HostError, match="done on this PC with precision int8, now fp16"):
        open_engine(graph_bytes(), replace(OPTIONS, precision="fp16"))


@pytest.mark.usefixtures("standin")
def test_the_parsers_errors_are_told() -> None:
    errors = ["node 3 (TopK): K is too large", "node 7: no such operator"]
    with pytest.raises(HostError) as refused:
        open_engine(graph_bytes(errors=errors), BUILD)
    assert str(refused.value).startswith(
        f"tensorrt {VERSION} does not accept the graph: node 3 (TopK): K is too large; node 7: no "
        "such operator; "
    )


def test_a_builder_that_fails_is_quoted(standin: Standin, own_cache: Path) -> None:
    standin.fails_to_build = True
    with pytest.raises(HostError, match="failed building the engine: no kernel for it"):
        open_engine(graph_bytes(), BUILD)
    assert not own_cache.exists()


def test_ctrl_c_ends_a_build_at_its_next_step(standin: Standin, own_cache: Path) -> None:
    standin.is_interrupted = True
    with pytest.raises(KeyboardInterrupt):
        open_engine(graph_bytes(), BUILD)
    assert not own_cache.exists()


@pytest.mark.usefixtures("standin")
def test_a_build_outside_the_main_thread_leaves_signals_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        engine = pool.submit(open_engine, graph_bytes(), BUILD).result()
    assert engine.most_rows["cells"] == 6


@pytest.mark.usefixtures("standin")
def test_a_graph_that_is_not_fused_is_refused() -> None:
    with pytest.raises(HostError, match=r"with the input x \(-1, 8\); expected a first"):
        open_engine(graph_bytes(inputs={"x": [-1, 8]}), BUILD)


@pytest.mark.usefixtures("standin")
def test_a_graph_that_reads_another_file_is_refused() -> None:
    with pytest.raises(HostError, match="tensorrt was given a graph that refers to another file"):
        open_engine(b"\x0a\x08location", BUILD)


@pytest.mark.usefixtures("standin")
def test_a_damaged_plan_is_not_run(own_cache: Path) -> None:
    open_engine(graph_bytes(), BUILD)
    (plan,) = files(own_cache, "tensorrt-plan")
    plan.write_bytes(plan.read_bytes()[:-9])
    with pytest.raises(HostError, match="is damaged"):
        open_engine(graph_bytes(), OPTIONS)


@pytest.mark.usefixtures("standin")
def test_a_plan_that_tensorrt_does_not_load_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    open_engine(graph_bytes(), BUILD)
    engine_module = sys.modules["vexas_edge.engines.tensorrt.engine"]
    monkeypatch.setattr(
        engine_module, "find", lambda *_, **__: cache.Found(content=b"of another time")
    )
    for _ in range(2):
        with pytest.raises(HostError) as refused:
            open_engine(graph_bytes(), OPTIONS)
        assert str(refused.value) == (
            f"tensorrt {VERSION} failed loading the engine: the plan is of another version"
        )


# Running


@pytest.mark.parametrize("n_cells", [1, 2, 4, 5, 6])
def test_a_call_gets_its_own_rows_and_none_of_the_padding(standin: Standin, n_cells: int) -> None:
    fed = feeds(n_cells)
    means = fed["cells"].mean((1, 2, 3), dtype=np.float32) / 255
    with open_engine(graph_bytes(), BUILD) as engine:
        for _ in range(2):
            found = engine.run(fed)
    assert {name: (value.dtype.name, value.shape) for name, value in found.items()} == {
        "encodings": ("float32", (n_cells, 2)),
        "probabilities": ("float32", (5, 2)),
        "decisions": ("float32", (5, 1)),
    }
    np.testing.assert_allclose(found["encodings"][:, 0], means, rtol=1e-6)
    np.testing.assert_allclose(found["decisions"][:, 0], means[fed["draws"]].mean(1), rtol=1e-6)
    assert standin.launches == 2


@pytest.mark.usefixtures("standin")
def test_outputs_are_the_callers_to_keep() -> None:
    with open_engine(graph_bytes(), BUILD) as engine:
        first = engine.run(feeds(3))
        kept = {name: value.copy() for name, value in first.items()}
        engine.run(feeds(3, seed=1))
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)


@pytest.mark.usefixtures("standin")
def test_calls_from_many_threads_do_not_mix() -> None:
    calls = [feeds(1 + seed % 6, seed=seed) for seed in range(12)]
    with open_engine(graph_bytes(), BUILD) as engine, ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(engine.run, calls))
        in_turn = [engine.run(call) for call in calls]
    for one, other in zip(at_once, in_turn, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.usefixtures("standin")
def test_more_cells_or_draws_than_were_prepared_for_are_refused() -> None:
    with open_engine(graph_bytes(), BUILD) as engine:
        assert engine.most_rows["cells"] == 6
        with pytest.raises(HostError, match="6 rows per call at most and was given 7"):
            engine.run(feeds(7))
        with pytest.raises(HostError, match="64 draws per call at most and was given 65"):
            engine.run(feeds(2, n_draws=65))


def test_memory_is_of_the_tensors_sizes_and_all_is_freed(standin: Standin) -> None:
    open_engine(graph_bytes(), BUILD).__exit__()
    assert standin.memory == {}
    with open_engine(graph_bytes(), OPTIONS) as engine:
        sizes = sorted(len(memory) for memory in standin.memory.values())
        encodings, probabilities, decisions = 6 * 2 * 4, 64 * 2 * 4, 64 * 4
        cells, draws = 6 * 8 * 8 * 3, 64 * 3 * 8
        # Each in the PC and on the GPU; of the largest bucket only, until another is used.
        assert sizes == sorted(2 * [encodings, probabilities, decisions, cells, draws])
        engine.run(feeds(1))
        assert len(standin.memory) == 20
    assert (standin.memory, standin.streams) == ({}, {})


@pytest.mark.usefixtures("standin")
def test_the_engine_says_what_it_is() -> None:
    with open_engine(graph_bytes(), BUILD) as engine:
        assert (engine.name, engine.version, engine.device) == ("tensorrt", VERSION, "cuda")
        assert engine.threads == 2
        assert engine.shapes == {
            "cells": (None, 8, 8, 3),
            "draws": (None, 3),
            "encodings": (None, 2),
            "probabilities": (None, 2),
            "decisions": (None, 1),
        }


# The GPU


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaMallocHost", "cudaStreamEndCapture"])
def test_a_failure_of_cuda_is_named_and_leaves_nothing_behind(standin: Standin, call: str) -> None:
    open_engine(graph_bytes(), BUILD).__exit__()
    standin.failing[call] = CudaError.cudaErrorMemoryAllocation
    with pytest.raises(HostError) as failed:
        open_engine(graph_bytes(), OPTIONS)
    assert str(failed.value) == (
        "the GPU failed: in words (cudaErrorMemoryAllocation); close other programs that use it, "
        "or use --engine onnxruntime"
    )
    assert (standin.memory, standin.streams) == ({}, {})


def test_a_failing_run_is_told(standin: Standin) -> None:
    with open_engine(graph_bytes(), BUILD) as engine:
        standin.failing["cudaGraphLaunch"] = CudaError.cudaErrorMemoryAllocation
        with pytest.raises(HostError, match="the GPU failed: in words"):
            engine.run(feeds(2))


def test_it_runs_on_a_gpu_and_nowhere_else(standin: Standin) -> None:
    assert devices_of("tensorrt") == ("cuda",)
    with pytest.raises(HostError, match="tensorrt does not run on the CPU"):
        open_engine(graph_bytes(), replace(OPTIONS, device="cpu"))
    standin.failing["cudaGetDeviceCount"] = CudaError.cudaErrorNoDevice
    with pytest.raises(HostError, match="finds no NVIDIA GPU .*; install driver 580 or newer"):
        devices_of("tensorrt")


@pytest.mark.usefixtures("standin")
def test_an_older_tensorrt_is_refused() -> None:
    sys.modules["tensorrt"].__version__ = "10.13.3"  # type: ignore[attr-defined]
    with pytest.raises(HostError, match="tensorrt 10.13.3 is installed, .*install 11 or newer"):
        devices_of("tensorrt")


# The graph


def test_tensorrt_takes_its_own_int8_graph_and_never_the_cpus(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    path = with_graphs(tiny_bundle, tmp_path / "b.vxb", "fused.int8.onnx", "fused.fp16.onnx")
    manifest = open_bundle(path).manifest
    for device in ("auto", "cpu", "cuda"):
        options = EngineOptions(engine="tensorrt", device=device)
        assert choose_graph(manifest, "auto", options).file == FUSED
        assert choose_graph(manifest, "fp16", options).file == "fused.fp16.onnx"
        with pytest.raises(HostError, match=r"has no fused\.int8-trt\.onnx; use --precision fp32"):
            choose_graph(manifest, "int8", options)


def test_a_graphs_precision_is_known_by_its_file() -> None:
    kinds = ("fp32", "fp16", "int8", "int8-rr", "int8-trt")
    assert [precision_of(f"fused.{kind}.onnx") for kind in kinds] == [
        "fp32",
        "fp16",
        "int8",
        "int8",
        "int8",
    ]


def test_no_call_of_scoring_has_more_cells_than_the_engine_takes(
    tiny_bundle: Path, tiny_case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vexas_edge import read_case, score_case
    from vexas_edge.engines.onnxruntime import OnnxRuntimeEngine

    counts: list[int] = []
    run = OnnxRuntimeEngine.run

    def counted(self: OnnxRuntimeEngine, fed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        counts.append(len(fed.get("cells", ())))
        return run(self, fed)

    bundle = open_bundle(tiny_bundle)
    monkeypatch.setattr(OnnxRuntimeEngine, "run", counted)
    monkeypatch.setattr(OnnxRuntimeEngine, "most_rows", {"cells": 5})
    with Sessions(bundle, EngineOptions(threads=1)) as sessions:
        score_case(read_case(tiny_case), bundle, sessions, chunk_cells=1000)
    assert max(counts) == 5


# The commands


@pytest.fixture
def run_export(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs `vexas-workshop export` with the given arguments, in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command_line(export_cli)
        captured = capsys.readouterr()
        status = ended.value.code or 0
        assert isinstance(status, int)
        return Ended(status=status, out=captured.out, err=captured.err)

    return run


@without_tensorrt
@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_scoring_without_tensorrt_says_how_to_get_it(
    tiny_bundle: Path,
    tiny_case: Path,
    tmp_path: Path,
    vexas_edge: Callable[..., Ended],
    precision: str,
) -> None:
    bundle = with_graphs(tiny_bundle, tmp_path / "b.vxb", "fused.fp16.onnx")
    asked = ("--engine", "tensorrt", "--precision", precision)
    ended = vexas_edge("score", tiny_case, "--bundle", bundle, *asked)
    assert (ended.status, ended.out) == (4, "")
    assert ended.err == (
        "error: tensorrt cannot be loaded (No module named 'tensorrt'); install it with `python -m "
        "pip install vexas-edge[tensorrt]` on a PC with an NVIDIA GPU, or use --engine "
        "onnxruntime\n"
    )


@without_tensorrt
@pytest.mark.parametrize("asked", [(), ("--precision", "fp32"), ("--model", "monocyte")])
def test_building_without_tensorrt_says_how_to_get_it(
    tiny_bundle: Path, run_export: Callable[..., Ended], asked: tuple[str, ...]
) -> None:
    ended = run_export("engine", tiny_bundle, *asked)
    assert (ended.status, ended.out) == (4, "")
    assert ended.err.startswith("error: tensorrt cannot be loaded (")
    assert "python -m pip install vexas-edge[tensorrt]" in ended.err


def test_engines_of_a_bundle_are_built_by_model_and_precision(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_graphs(tiny_bundle, tmp_path / "b.vxb", "fused.int8-trt.onnx")
    opened: list[tuple[str, str]] = []
    said: list[str] = []

    def check(self: Sessions, model: str, file: str) -> None:
        assert (self.options.engine, self.options.build) == ("tensorrt", True)
        opened.append((model, file))

    monkeypatch.setattr("export.engine.devices_of", lambda _: ("cuda",))
    monkeypatch.setattr(Sessions, "check", check)
    bundle = open_bundle(path)
    models = ("neutrophil", "monocyte", "lymphocyte")
    assert build_engines(bundle, said.append) == 6
    assert opened == [(m, f) for f in (FUSED, "fused.int8-trt.onnx") for m in models]
    assert any("fp16: left out: bundle tiny: model 'neutrophil' has no" in line for line in said)
    opened.clear()
    assert build_engines(bundle, said.append, precisions=["int8"], models=["monocyte"]) == 1
    assert opened == [("monocyte", "fused.int8-trt.onnx")]
    with pytest.raises(HostError, match=r"has no fused\.fp16\.onnx"):
        build_engines(bundle, said.append, precisions=["fp16"])
    with pytest.raises(UsageError, match="has no model platelet; it has neutrophil, monocyte"):
        build_engines(bundle, said.append, models=["platelet"])
