"""onnxruntime on a made-up GPU: how it is set up, how it is called, and why it does not start."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu_standin import NO_MEMORY, simulated_card, states
from test_engines_page_locked import Runtime
from tiny import CANVAS_PX

from vexas_edge.bundle.archive import open_bundle
from vexas_edge.engines import cuda_start
from vexas_edge.engines import onnxruntime as module
from vexas_edge.engines.contract import EngineOptions, RowGroup
from vexas_edge.engines.cuda_settings import CUDA_SETTINGS, cuda_setting, memory_limit
from vexas_edge.engines.cuda_start import CudaFacts, cuda_problem, load_cuda
from vexas_edge.engines.failures import failure_on
from vexas_edge.engines.gpu_calls import CALLS_AT_ONCE, GpuCalls, filled_rows
from vexas_edge.engines.opening import devices_of, open_engine, settings_of
from vexas_edge.errors import DeviceMemoryError, HostError
from vexas_edge.host.facts import NvidiaGpu

ROWS = (RowGroup(tensors=frozenset({"cells", "encodings"}), most=8, block=8),)
ON_CUDA = EngineOptions(device="cuda", threads=4, rows=ROWS)


@pytest.fixture(scope="module")
def graph(tiny_bundle: Path) -> bytes:
    return open_bundle(tiny_bundle).model_file("neutrophil", "fused.fp32.onnx")


def feeds(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (n, CANVAS_PX, CANVAS_PX, 3), np.uint8)
    return {"cells": cells, "draws": rng.integers(0, n, (3, 10))}


@pytest.mark.parametrize(
    ("precision", "setting", "expected", "off"),
    [
        ("fp32", "", {"cudnn_conv_algo_search": "EXHAUSTIVE"}, []),
        ("fp16", "", {"cudnn_conv_algo_search": "HEURISTIC", "prefer_nhwc": "1"}, True),
        ("fp16", "heuristic", {"cudnn_conv_algo_search": "HEURISTIC"}, True),
        ("fp16", "nhwc-fused", {"prefer_nhwc": "1", "fuse_conv_bias": "1"}, []),
    ],
)
def test_a_session_is_set_up_as_its_precision_and_setting_say(
    graph: bytes, precision: Any, setting: str, expected: dict[str, str], off: Any
) -> None:
    options = EngineOptions(device="cuda", precision=precision, setting=setting)
    with simulated_card() as card, open_engine(graph, options) as engine:
        assert engine.device == "cuda"
    ((provider, more),) = card.settings
    assert provider.items() >= expected.items()
    assert provider["use_tf32"] == "0"
    assert provider["arena_extend_strategy"] == "kSameAsRequested"
    assert provider["gpu_mem_limit"] == str((8192 - 1024) << 20)
    assert more == {
        "disabled_optimizers": ["ConvAddFusion"] if off else [],
        "enable_fallback": 0,
    }


def test_every_setting_that_is_offered_exists() -> None:
    assert {p: settings_of("onnxruntime", "cuda", p) for p in CUDA_SETTINGS} == CUDA_SETTINGS
    assert settings_of("onnxruntime", "cpu", "fp32") == ()
    for precision, names in CUDA_SETTINGS.items():
        assert cuda_setting("", precision) == cuda_setting(names[0], precision)
        assert len({str(cuda_setting(name, precision)) for name in names}) == len(names)
    with pytest.raises(HostError, match="has no setting 'fast' for CUDA; name one of exhaustive,"):
        cuda_setting("fast", "fp16")


@pytest.mark.parametrize(
    ("free_mib", "limit_mib"), [(81_000, 79_976), (2048, 1024), (1000, 500), (0, 1)]
)
def test_memory_is_limited_to_what_is_free_but_for_a_reserve(free_mib: int, limit_mib: int) -> None:
    assert memory_limit(free_mib) == {"gpu_mem_limit": str(limit_mib << 20)}


def test_without_an_answer_of_the_driver_memory_has_no_limit() -> None:
    assert memory_limit(None) == {}


@pytest.mark.parametrize(
    ("n_rows", "block", "filled"),
    [
        *((1, 32, 1), (2, 32, 2), (3, 32, 4), (16, 32, 16), (17, 32, 32), (32, 32, 32)),
        *((33, 32, 64), (5, 14, 7), (3, 14, 4), (7, 1, 7), (0, 32, 1)),
    ],
)
def test_calls_have_few_sizes(n_rows: int, block: int, filled: int) -> None:
    assert filled_rows(n_rows, block) == filled


@pytest.mark.parametrize("n", [1, 3, 8, 11])
@pytest.mark.parametrize("runtime", [None, Runtime()])
def test_a_call_gives_what_the_cpu_gives_and_its_added_rows_are_dropped(
    graph: bytes, n: int, runtime: Any
) -> None:
    with open_engine(graph, EngineOptions(device="cpu", threads=1)) as plain:
        expected = plain.run(feeds(n))
        with GpuCalls(plain, ROWS, runtime) as calls:
            calls.run(feeds(16, seed=1))  # whose cells then lie in the memory
            found = calls.run(feeds(n))
            assert (calls.name, calls.shapes) == (plain.name, plain.shapes)
    assert {name: v.shape for name, v in found.items()} == {
        name: v.shape for name, v in expected.items()
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6)
    if runtime:
        assert runtime.held == {}


def test_at_most_two_calls_compute_at_once_and_each_has_memory_of_its_own(graph: bytes) -> None:
    with simulated_card() as card, open_engine(graph, ON_CUDA) as engine:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda seed: engine.run(feeds(8, seed)), range(40)))
        one_by_one = [engine.run(feeds(8, seed)) for seed in range(40)]
    assert 1 <= card.most_at_once <= CALLS_AT_ONCE
    for threaded, alone in zip(found, one_by_one, strict=True):
        np.testing.assert_array_equal(threaded["encodings"], alone["encodings"])


def test_a_call_that_the_card_has_no_memory_for_fails_by_its_own_name(graph: bytes) -> None:
    with simulated_card(most_rows=4) as card, open_engine(graph, ON_CUDA) as engine:
        with pytest.raises(DeviceMemoryError, match="close other programs .* or use --device cpu"):
            engine.run(feeds(5))
        assert engine.run(feeds(3))["encodings"].shape[0] == 3  # its memory is free again
    assert card.calls == [4]


@pytest.mark.parametrize(
    "said",
    [
        NO_MEMORY,
        "Failed to allocate memory for requested buffer of size 4194304",
        "CUDA failure 2: out of memory ; GPU=0 ; hostname=pc",
        "CUDNN failure 4002: CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
    ],
)
def test_lack_of_memory_is_known_by_what_is_said(said: str) -> None:
    error = states.RuntimeException(said)
    assert isinstance(failure_on("cuda", "failed", error), DeviceMemoryError)
    assert not isinstance(failure_on("cpu", "failed", error), DeviceMemoryError)


def test_another_failure_of_the_card_is_none_of_memory() -> None:
    error = states.Fail("CUDA failure 700: an illegal memory access was encountered")
    found = failure_on("cuda", "failed on cuda", error)
    assert type(found) is HostError
    assert str(found).startswith("onnxruntime failed on cuda: CUDA failure 700")


T4 = NvidiaGpu(name="NVIDIA T4", driver="580.65.06")
SOUND = CudaFacts(
    wheels=("onnxruntime-gpu",),
    onnxruntime="1.31.1",
    cuda="13.0",
    gpu=T4,
    not_loaded=(),
    failure="",
)


def facts(**changed: Any) -> CudaFacts:
    return CudaFacts(**{name: getattr(SOUND, name) for name in SOUND.__slots__} | changed)


@pytest.mark.parametrize(
    ("changed", "found", "remedy"),
    [
        ({"wheels": cuda_start.WHEELS, "cuda": ""}, "are both installed", "uninstall both"),
        ({"wheels": ("onnxruntime",), "cuda": ""}, "no CUDA support", "install onnxruntime-gpu"),
        ({"gpu": None}, "no NVIDIA GPU, or no driver", "driver 580 or newer"),
        (
            {"gpu": NvidiaGpu(name="NVIDIA T4", driver="550.54")},
            "the driver is too old for CUDA 13",
            "install driver 580 or newer",
        ),
        (
            {"gpu": NvidiaGpu(name="NVIDIA T4", driver="470.1"), "cuda": "12.8"},
            "too old for CUDA 12",
            "install driver 525 or newer",
        ),
        (
            {"not_loaded": ("libcublas.so.13", "libcudnn.so.9")},
            "cannot be loaded: libcublas.so.13, libcudnn.so.9",
            r"pip install onnxruntime-gpu\[cuda,cudnn\]",
        ),
        ({"failure": "CUDA failure 999"}, r"does not start .*\(CUDA failure 999\)", "restart"),
    ],
)
def test_each_cause_has_one_clear_line_and_a_remedy(
    changed: dict[str, Any], found: str, remedy: str
) -> None:
    problem = cuda_problem(facts(**changed))
    for text, expected in ((problem.found, found), (problem.remedy, remedy)):
        assert "\n" not in text
        assert re.search(expected, text)


class Library:
    """onnxruntime-gpu on a PC that lacks some of CUDA's libraries."""

    cuda_version = "13.0"
    __version__ = "1.31.1"

    def __init__(self) -> None:
        self.severity = 2

    def set_default_logger_severity(self, severity: int) -> None:
        self.severity = severity

    def preload_dlls(self) -> None:
        for line in (
            "Failed to load /venv/nvidia/cu13/lib/libcurand.so.10: /venv/libcurand.so.10: broken",
            "Failed to load libcublas.so.13: libcublas.so.13: cannot open shared object file",
            "Failed to load cudart64_13.dll: Could not find module 'C:\\x\\cudart64_13.dll' (or",
            "Please follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn to install CUDA.",
        ):
            print(line)


def test_what_does_not_load_is_named_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cuda_start, "_loads", lambda _: False)
    library = Library()
    assert load_cuda(library) == (
        *("libcurand.so.10", "libcublas.so.13", "cudart64_13.dll", "libcudnn.so.9"),
    )
    assert library.severity == 4
    assert capsys.readouterr().out == ""


def test_a_card_that_runs_has_no_problem() -> None:
    with simulated_card():
        assert module.why_not_cuda() is None
        assert devices_of("onnxruntime") == ("cpu", "cuda")
