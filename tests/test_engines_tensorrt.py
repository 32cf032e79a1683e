"""Our own logic around TensorRT's runtime and CUDA, run against a stand-in: no GPU is here.

What TensorRT and CUDA really do with these calls is not shown by any of this. What TensorRT for RTX
builds, which needs no GPU, is in `test_engines_tensorrt_built`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from tensorrt_standin import (
    BYTES_PER_ROW,
    CANVAS_PX,
    DRAW_SIZE,
    PLAN,
    VERSION,
    CudaError,
    Severity,
    Standin,
    description_of,
)
from test_runtime_choice import with_graphs
from tiny import Ended

from export.cli import cli as export_cli
from export.engine import build_engines
from vexas_edge import open_bundle
from vexas_edge.bundle.graphs import FUSED, precision_of
from vexas_edge.commands.console import run_command_line
from vexas_edge.engines.contract import Engine, EngineOptions, RowGroup
from vexas_edge.engines.opening import devices_of, open_engine
from vexas_edge.errors import DeviceMemoryError, HostError, UsageError
from vexas_edge.host import cache
from vexas_edge.host.facts import NvidiaGpu, nvidia_gpu
from vexas_edge.runtime.choice import choose_graph
from vexas_edge.runtime.session import Sessions

FOLDER = "vexas_edge.engines.tensorrt"
_NAMES = ("library", "cuda", "build", "keeping", "calls", "engine")
OURS = tuple(f"{FOLDER}.{name}" for name in _NAMES)
FULL, FOR_RTX = "tensorrt", "tensorrt_rtx_bindings"
ROWS = (
    RowGroup(tensors=frozenset({"cells", "encodings"}), most=6, block=6),
    RowGroup(tensors=frozenset({"draws", "probabilities", "decisions"}), most=64),
)
GRAPH = b"a graph"
OPTIONS = EngineOptions(engine="tensorrt", threads=2, rows=ROWS)
BUILD = replace(OPTIONS, build=True)
without_gpu = pytest.mark.skipif(nvidia_gpu() is not None, reason="a GPU is here")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=[FULL, FOR_RTX])
def standin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """The stand-in, in the place of CUDA and of either TensorRT for one test."""
    found = Standin(request.param)
    ours = {name: forgotten(name) for name in OURS if name in sys.modules}
    # The full TensorRT would be taken first.
    monkeypatch.setitem(sys.modules, FULL, None)
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("vexas_edge.host.facts._each_gpus", lambda _: [])
    yield found
    for name in OURS:
        if name in sys.modules:
            forgotten(name)
    for name, module in ours.items():
        sys.modules[name] = module
        setattr(sys.modules[FOLDER], name.rpartition(".")[2], module)


def forgotten(name: str) -> ModuleType:
    """One of our modules, which is imported anew when it is used next."""
    delattr(sys.modules[FOLDER], name.rpartition(".")[2])
    return sys.modules.pop(name)


only_full = pytest.mark.parametrize("standin", [FULL], indirect=True)
only_for_rtx = pytest.mark.parametrize("standin", [FOR_RTX], indirect=True)


@pytest.fixture
def engine(standin: Standin) -> Iterator[Engine]:
    """An engine whose plan was kept, in the stand-in."""
    assert standin.memory == {}
    put_plan()
    with open_engine(GRAPH, OPTIONS) as opened:
        yield opened


def put_plan(plan: bytes = PLAN) -> None:
    """Keep a plan for the stand-in's GPU, as a build would."""
    from vexas_edge.engines.tensorrt.cuda import this_gpu
    from vexas_edge.engines.tensorrt.engine import plan_for
    from vexas_edge.engines.tensorrt.plans import plan_key

    cache.store("tensorrt-plan", plan_key(GRAPH, "fp32", plan_for(this_gpu())), plan)


def feeds(n_cells: int, n_draws: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "cells": rng.integers(0, 256, (n_cells, CANVAS_PX, CANVAS_PX, 3), dtype=np.uint8),
        "draws": rng.integers(0, n_cells, (n_draws, DRAW_SIZE)),
    }


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}-*.entry"))


# Finding and proving plans


@pytest.mark.usefixtures("standin")
def test_nothing_is_built_unasked() -> None:
    with pytest.raises(HostError) as refused:
        open_engine(GRAPH, OPTIONS)
    assert str(refused.value) == (
        "tensorrt has no engine for this graph on this PC: never done on this PC; build it with "
        "`vexas-edge prepare --bundle BUNDLE` or `vexas-workshop export engine BUNDLE`, or use "
        "--engine onnxruntime"
    )


@only_full
@pytest.mark.usefixtures("standin")
def test_a_plan_of_the_full_tensorrt_runs_with_its_own_driver_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_plan()
    runtime = sys.modules["cuda.bindings.runtime"]
    monkeypatch.setattr(runtime, "cudaDriverGetVersion", lambda: (CudaError.cudaSuccess, 13010))
    with pytest.raises(HostError, match="driver CUDA 13000, now CUDA 13010; build it"):
        open_engine(GRAPH, OPTIONS)


@only_for_rtx
def test_a_plan_for_rtx_runs_on_each_gpu_of_its_kind(standin: Standin) -> None:
    put_plan()
    standin.gpu = SimpleNamespace(name=b"NVIDIA Other", major=12, minor=0)
    open_engine(GRAPH, OPTIONS).__exit__()
    standin.gpu = SimpleNamespace(name=b"NVIDIA T4", major=7, minor=5)
    with pytest.raises(HostError, match=r"now \['7.5'\]; build it"):
        open_engine(GRAPH, OPTIONS)


@only_full
def test_a_plan_of_the_full_tensorrt_is_proved_by_its_inspector(
    standin: Standin, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = import_module(f"{FOLDER}.build").Built(plan=PLAN, layers=())
    engine_module = import_module(f"{FOLDER}.engine")
    monkeypatch.setattr(engine_module, "plan_from_graph", lambda *_: built)
    with pytest.raises(HostError, match="for int8, but its convolutions compute in fp32 2"):
        open_engine(GRAPH, replace(BUILD, precision="int8"))
    assert files(own_cache, "tensorrt-plan") == []
    assert (standin.memory, standin.streams) == ({}, {})  # closed
    standin.describes = description_of(("conv1", "Int8"), ("conv2", "Int8"))
    open_engine(GRAPH, replace(BUILD, precision="int8")).__exit__()
    assert len(files(own_cache, "tensorrt-plan")) == 1


@pytest.mark.usefixtures("standin")
def test_a_damaged_plan_is_not_run(own_cache: Path) -> None:
    put_plan()
    (plan,) = files(own_cache, "tensorrt-plan")
    plan.write_bytes(plan.read_bytes()[:-9])
    with pytest.raises(HostError, match="is damaged"):
        open_engine(GRAPH, OPTIONS)


def test_a_plan_that_tensorrt_does_not_load_is_told(standin: Standin) -> None:
    put_plan(b"of another time")
    for _ in range(2):
        with pytest.raises(HostError) as refused:
            open_engine(GRAPH, OPTIONS)
        name = f"TensorRT {VERSION}" if standin.module == FULL else f"TensorRT for RTX {VERSION}"
        assert str(refused.value).startswith(
            f"tensorrt has no engine for this graph on this PC: {name} failed loading the engine: "
            "the plan is of another version; build it with `vexas-edge prepare"
        )


def test_a_plan_that_does_not_load_is_built_anew_where_that_is_asked_for(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_plan(b"of another time")
    standin.describes = description_of(("conv1", "Float"))
    built = import_module(f"{FOLDER}.build").Built
    layer = import_module(f"{FOLDER}.proof").Layer
    layers = (layer(name="conv1", kind="convolution", takes="fp32", gives="fp32"),)
    monkeypatch.setattr(
        import_module(f"{FOLDER}.engine"),
        "plan_from_graph",
        lambda *_: built(plan=PLAN, layers=layers),
    )
    open_engine(GRAPH, BUILD).__exit__()
    open_engine(GRAPH, OPTIONS).__exit__()


@pytest.mark.usefixtures("standin")
def test_a_graph_that_reads_another_file_is_refused() -> None:
    with pytest.raises(HostError, match="tensorrt was given a graph that refers to another file"):
        open_engine(b"\x0a\x08location", OPTIONS)


# Running


@pytest.mark.parametrize("capturable", [True, False])
@pytest.mark.parametrize("n_cells", [1, 2, 5, 6])
def test_a_call_gets_its_own_rows_and_none_of_the_padding(
    standin: Standin, engine: Engine, n_cells: int, capturable: bool
) -> None:
    standin.capturable = capturable
    fed = feeds(n_cells)
    means = fed["cells"].mean((1, 2, 3), dtype=np.float32) / 255
    for _ in range(2):
        found = engine.run(fed)
    assert {name: (value.dtype.name, value.shape) for name, value in found.items()} == {
        "encodings": ("float32", (n_cells, 2))
    }
    np.testing.assert_allclose(found["encodings"][:, 0], means, rtol=1e-6)
    assert standin.launches == (2 if capturable or standin.module == FULL else 0)


def test_outputs_are_the_callers_to_keep(engine: Engine) -> None:
    first = engine.run(feeds(3))
    kept = {name: value.copy() for name, value in first.items()}
    engine.run(feeds(3, seed=1))
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)


def test_calls_from_many_threads_do_not_mix(engine: Engine) -> None:
    calls = [feeds(1 + seed % 6, seed=seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(engine.run, calls))
    in_turn = [engine.run(call) for call in calls]
    for one, other in zip(at_once, in_turn, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_more_cells_than_were_asked_for_are_refused(engine: Engine) -> None:
    assert engine.most_rows["cells"] == 6
    with pytest.raises(HostError, match="takes 6 rows per call at most, and this call has 7"):
        engine.run(feeds(7))


def test_memory_is_of_the_tensors_sizes_and_all_is_freed(standin: Standin) -> None:
    put_plan()
    with open_engine(GRAPH, OPTIONS) as engine:
        assert standin.memory == {}
        for n_cells in (3, 1, 6):  # one after the other, so that one call's memory serves
            engine.run(feeds(n_cells))
        # Each tensor in the PC and on the GPU, for 6 cells; of draws, which no encoding needs, one;
        # and what a context needs itself. All of it for each of two calls at once.
        cells, draws, encodings = 6 * CANVAS_PX**2 * 3, DRAW_SIZE * 8, 6 * 2 * 4
        sizes = sorted(len(memory) for memory in standin.memory.values())
        assert sizes == sorted([*2 * [cells, draws, encodings], 6 * BYTES_PER_ROW])
        assert len(standin.streams) == 1
    assert (standin.memory, standin.streams) == ({}, {})


def test_no_more_than_two_calls_run_at_once(standin: Standin, engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(engine.run, [feeds(6)] * 24))
    assert len(standin.streams) <= 2


def test_the_engine_says_what_it_is(standin: Standin, engine: Engine) -> None:
    version = VERSION if standin.module == FULL else f"RTX {VERSION}"
    assert (engine.name, engine.version, engine.device) == ("tensorrt", version, "cuda")
    assert engine.threads == 2
    assert engine.shapes == {
        "cells": (None, 8, 8, 3),
        "draws": (None, 3),
        "encodings": (None, 2),
    }


@only_for_rtx
def test_kernels_that_were_compiled_here_are_loaded_the_next_time(
    standin: Standin, own_cache: Path
) -> None:
    put_plan()
    for _ in range(3):
        with open_engine(GRAPH, OPTIONS) as engine:
            engine.run(feeds(2))
            (kept,) = files(own_cache, "tensorrt-kernels")  # as soon as they are compiled
    assert standin.loaded == b"kernels"
    before = kept.stat().st_mtime_ns
    with open_engine(GRAPH, OPTIONS) as engine:
        engine.run(feeds(2))
    assert kept.stat().st_mtime_ns == before


@only_for_rtx
@pytest.mark.parametrize("compiled", [b"kernels", None])
def test_where_kernels_cannot_be_kept_nothing_else_is_lost(
    standin: Standin, compiled: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_plan()
    standin.compiled = compiled

    def full(*_: object) -> None:
        raise HostError("the disk is full")

    monkeypatch.setattr(import_module(f"{FOLDER}.engine"), "store", full)
    with open_engine(GRAPH, OPTIONS) as engine:
        assert engine.run(feeds(2))["encodings"].shape == (2, 2)


# The GPU


@pytest.mark.parametrize("call", ["cudaMallocHost", "cudaStreamSynchronize"])
def test_a_failure_of_cuda_is_named_and_leaves_nothing_behind(standin: Standin, call: str) -> None:
    put_plan()
    standin.failing[call] = CudaError.cudaErrorNoDevice
    with open_engine(GRAPH, OPTIONS) as engine:
        with pytest.raises(HostError) as failed:
            engine.run(feeds(2))
        assert (standin.memory, standin.streams) == ({}, {})
    assert str(failed.value) == (
        "the GPU failed: in words (cudaErrorNoDevice); close other programs that use it, or use "
        "--engine onnxruntime"
    )


@pytest.mark.parametrize("call", ["cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_work_that_cannot_be_captured_is_done_all_the_same(
    standin: Standin, engine: Engine, call: str
) -> None:
    standin.failing[call] = CudaError.cudaErrorNoDevice
    assert engine.run(feeds(2))["encodings"].shape == (2, 2)
    assert standin.launches == 0


def test_without_memory_for_a_call_the_engine_goes_on_with_half_of_it(
    standin: Standin, engine: Engine
) -> None:
    standin.most_bytes = 3 * CANVAS_PX**2 * 3
    with pytest.raises(DeviceMemoryError, match="cudaErrorMemoryAllocation"):
        engine.run(feeds(6))
    assert standin.memory == {}
    assert engine.run(feeds(3))["encodings"].shape == (3, 2)
    standin.most_bytes = 1 << 30
    with pytest.raises(DeviceMemoryError, match="no memory for a call of 6 rows, but for one of 3"):
        engine.run(feeds(6))  # no size that the self-test has not seen
    assert engine.run(feeds(1))["encodings"].shape == (1, 2)


def test_where_a_second_call_has_no_memory_the_first_one_serves(
    standin: Standin, engine: Engine
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with engine._free_call(6):  # type: ignore[attr-defined]
            standin.failing["cudaMalloc"] = CudaError.cudaErrorMemoryAllocation
            waiting = pool.submit(engine.run, feeds(2))
            time.sleep(0.05)
            assert not waiting.done()
        assert waiting.result(timeout=10)["encodings"].shape == (2, 2)


@pytest.mark.usefixtures("standin")
def test_tensorrts_own_lack_of_memory_is_told_as_such() -> None:
    library = import_module(f"{FOLDER}.library")
    library.log().log(Severity.ERROR, "Error Code 2: OutOfMemory (Requested size was 9 bytes.)")
    with pytest.raises(DeviceMemoryError, match="failed making a context: .*OutOfMemory"):
        library.given(None, "making a context")


def test_a_failing_run_is_told(standin: Standin, engine: Engine) -> None:
    engine.run(feeds(2))
    standin.failing["cudaGraphLaunch"] = CudaError.cudaErrorNoDevice
    with pytest.raises(HostError, match="the GPU failed: in words"):
        engine.run(feeds(2))


@pytest.mark.usefixtures("standin")
def test_it_runs_on_a_gpu_and_nowhere_else() -> None:
    assert devices_of("tensorrt") == ("cuda",)
    with pytest.raises(HostError, match="tensorrt does not run on cpu; use --device cuda"):
        open_engine(GRAPH, replace(OPTIONS, device="cpu"))


@pytest.mark.parametrize(
    ("gpu", "told"),
    [
        (None, "no NVIDIA GPU, or no driver for it; install NVIDIA's driver 580 or newer"),
        (
            NvidiaGpu(name="NVIDIA T4", driver="535.10"),
            "NVIDIA T4, 535.10: the driver is too old for CUDA 13; install driver 580 or newer",
        ),
        (
            NvidiaGpu(name="NVIDIA T4", driver="580.65"),
            "CUDA finds no GPU (cudaErrorInsufficientDriver); see whether `nvidia-smi` shows",
        ),
    ],
)
def test_why_there_is_no_gpu_is_told_with_the_remedy(
    standin: Standin, gpu: NvidiaGpu | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.failing["cudaGetDeviceCount"] = CudaError.cudaErrorInsufficientDriver
    monkeypatch.setattr(import_module(f"{FOLDER}.cuda"), "nvidia_gpu", lambda: gpu)
    with pytest.raises(HostError) as refused:
        devices_of("tensorrt")
    assert f"is installed, but cannot run: {told}" in str(refused.value)
    assert str(refused.value).endswith("or use --engine onnxruntime")


@only_for_rtx
def test_a_gpu_that_tensorrt_for_rtx_does_not_run_on_is_named(standin: Standin) -> None:
    standin.gpu = SimpleNamespace(name=b"NVIDIA H100 80GB HBM3", major=9, minor=0)
    with pytest.raises(HostError) as refused:
        devices_of("tensorrt")
    assert str(refused.value) == (
        f"TensorRT for RTX {VERSION} does not run on this NVIDIA H100 80GB HBM3 of compute "
        "capability 9.0, only on 7.5, 8.0, 8.6, 8.9, 12.0, 12.1 and newer; use --engine "
        "onnxruntime, or install the full TensorRT with `python -m pip install "
        "vexas-edge[tensorrt-full]`"
    )


@only_full
def test_the_full_tensorrt_runs_on_any_gpu(standin: Standin) -> None:
    standin.gpu = SimpleNamespace(name=b"NVIDIA H100 80GB HBM3", major=9, minor=0)
    assert devices_of("tensorrt") == ("cuda",)


@only_full
@pytest.mark.usefixtures("standin")
def test_an_older_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, FOR_RTX, None)
    sys.modules[FULL].__version__ = "10.13.3"  # type: ignore[attr-defined]
    with pytest.raises(HostError, match="TensorRT 10.13.3 is installed, .*install 11 or newer"):
        devices_of("tensorrt")


@only_for_rtx
@pytest.mark.usefixtures("standin")
def test_an_older_tensorrt_does_not_hide_that_for_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, FULL, ModuleType(FULL))
    monkeypatch.setattr(sys.modules[FULL], "__version__", "10.13.3", raising=False)
    assert devices_of("tensorrt") == ("cuda",)


@only_for_rtx
@pytest.mark.usefixtures("standin")
def test_without_cudas_bindings_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(HostError, match=r"bindings .* cannot be loaded .*vexas-edge\[tensorrt\]"):
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


@without_gpu
@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_scoring_without_a_gpu_says_what_it_needs(
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
    assert ended.err.startswith("error: TensorRT for RTX ")
    assert ended.err.endswith(
        "is installed, but cannot run: no NVIDIA GPU, or no driver for it; install NVIDIA's driver "
        "580 or newer, or use --engine onnxruntime\n"
    )


@without_gpu
@pytest.mark.parametrize(
    ("asked", "n"), [((), 6), (("--precision", "fp32"), 6), (("--model", "monocyte"), 2)]
)
def test_without_a_gpu_engines_are_built_for_other_pcs(
    tiny_bundle: Path,
    run_export: Callable[..., Ended],
    asked: tuple[str, ...],
    n: int,
    own_cache: Path,
) -> None:
    ended = run_export("engine", tiny_bundle, *asked)
    assert (ended.status, ended.out) == (0, f"{n} engines in {own_cache}\n")
    assert "built without a test: TensorRT for RTX " in ended.err
    for gpus in ("7.5", "8.0, 8.6, 8.9, 12.0, 12.1"):
        assert f"built for GPUs of {gpus}, " in ended.err
    assert len(files(own_cache, "tensorrt-plan")) == n


@without_gpu
def test_an_engine_that_is_refused_does_not_cost_the_others(
    tiny_bundle: Path, tmp_path: Path, run_export: Callable[..., Ended], own_cache: Path
) -> None:
    # What is called int8 here is a copy of the float32 graph.
    path = with_graphs(tiny_bundle, tmp_path / "b.vxb", "fused.int8-trt.onnx")
    ended = run_export("engine", path, "--model", "monocyte", "--model", "neutrophil")
    assert (ended.status, ended.out) == (4, "")
    assert "error: 2 engines were not built: monocyte in int8: the TensorRT engine" in ended.err
    assert len(files(own_cache, "tensorrt-plan")) == 4


def test_without_tensorrt_it_is_said_how_to_get_it(
    tiny_bundle: Path, run_export: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in (FULL, FOR_RTX):
        monkeypatch.setitem(sys.modules, name, None)
    ended = run_export("engine", tiny_bundle)
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
    monkeypatch.setattr("export.engine.builds_without_gpu", lambda: False)
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
