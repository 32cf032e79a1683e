"""onnxruntime, the reference engine: on every CPU, and on CUDA where its GPU build is installed."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from numpy import ndarray

from vexas_edge.choices import Device
from vexas_edge.engines.contract import Abilities, CallSize, Engine, EngineOptions
from vexas_edge.engines.cuda_settings import CUDA_SETTINGS, cuda_setting, memory_limit
from vexas_edge.engines.cuda_start import (
    WHEELS,
    CudaProblem,
    cuda_facts,
    cuda_problem,
    load_cuda,
)
from vexas_edge.engines.failures import failure_on
from vexas_edge.engines.gpu_calls import GpuCalls
from vexas_edge.engines.page_locked import cuda_runtime
from vexas_edge.errors import HostError, MissingEngineError
from vexas_edge.host.facts import free_gpu_memory_mib
from vexas_edge.host.libraries import load_library
from vexas_edge.host.process import default_threads

# Cells of 272 px, or small ones: larger calls gain no speed on a CPU and cost memory. On an H100
# 32 cells gain all but 5 % of what 64 do, in 1.3 GiB instead of 2.5.
_CALL_SIZES: dict[Device, CallSize] = {
    "cpu": CallSize(rows=32, values=4 * 272 * 272 * 3),
    "cuda": CallSize(rows=32, values=32 * 272 * 272 * 3),
}

ABILITIES = Abilities(
    packages=WHEELS,
    graphs={"cpu": {"fp32": "fp32", "int8": "int8"}, "cuda": {"fp32": "fp32", "fp16": "fp16"}},
    call_sizes=_CALL_SIZES,
    settings={"cuda": CUDA_SETTINGS},
)

_CUDA = "CUDAExecutionProvider"
# The smallest possible graph, which returns the one float that it is given.
_NOTHING = bytes.fromhex(
    "080a3a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001012"
)
_ERROR = 3  # onnxruntime's log level that leaves warnings out


@cache
def _library() -> Any:
    try:
        return load_library("onnxruntime")
    except ImportError as error:
        raise MissingEngineError(
            f"onnxruntime cannot be loaded ({error})",
            "on Windows install the Microsoft Visual C++ "
            "runtime (the `msvc-runtime` wheel brings it without admin rights)",
        ) from error


@cache
def _failures() -> tuple[type[Exception], ...]:
    """The exceptions of a device that fails, or of a graph that does when it runs."""
    pybind = load_library("onnxruntime.capi.onnxruntime_pybind11_state")
    return (pybind.Fail, pybind.RuntimeException, pybind.EPFail, pybind.InvalidArgument)


def _is_of_feeds(error: Exception) -> bool:
    """Whether a graph refused what it was fed, which is a bug of ours; no node was run then."""
    return type(error).__name__ == "InvalidArgument" and "while running" not in str(error)


def devices() -> tuple[Device, ...]:
    """The devices that graphs really run on: a build with CUDA may lack a GPU or its libraries."""
    return ("cpu", "cuda") if _runs_cuda() else ("cpu",)


def _runs_cuda() -> bool:
    return _cuda_failure() is None


@cache
def _cuda_failure() -> str | None:
    """What onnxruntime says when it is started on CUDA, if anything; None if it runs there."""
    if _CUDA not in _library().get_available_providers():
        return ""
    load_cuda(_library())
    failures: tuple[type[Exception], ...] = (RuntimeError, *_failures())
    try:
        probe = _library().InferenceSession(
            _NOTHING, _session_options(1), [_CUDA], enable_fallback=0
        )
    except failures as error:
        return str(error)
    return None if _CUDA in probe.get_providers() else ""


def why_not_cuda() -> CudaProblem | None:
    """Why graphs do not run on CUDA here, and what to do about it; None if they do."""
    failure = _cuda_failure()
    return None if failure is None else cuda_problem(cuda_facts(_library(), failure))


def start(graph: bytes, options: EngineOptions) -> Engine:
    """Load the graph on the device that the options name.

    Raises:
        HostError: CUDA was asked for and is not available, there is no such setting, or the graph
            does not load.
    """
    if options.device == "intel-gpu":
        raise HostError("onnxruntime does not run on Intel's GPUs here; use --engine openvino")
    if options.device == "cuda" and (problem := why_not_cuda()):
        raise HostError(
            f"device cuda was asked for, but {problem.found}; {problem.remedy}, or use --device cpu"
        )
    if options.device != "cpu" and _runs_cuda():
        return GpuCalls(_loaded_on_cuda(graph, options), options.rows, cuda_runtime())
    return _loaded(graph, options, "cpu", ["CPUExecutionProvider"])


def _loaded_on_cuda(graph: bytes, options: EngineOptions) -> "OnnxRuntimeEngine":
    setting = cuda_setting(options.setting, options.precision)
    provider = (_CUDA, {**setting.provider, **memory_limit(free_gpu_memory_mib())})
    return _loaded(
        graph,
        options,
        "cuda",
        [provider, "CPUExecutionProvider"],
        disabled_optimizers=list(setting.optimizers_off),
    )


def _loaded(
    graph: bytes, options: EngineOptions, device: Device, providers: list[Any], **more: Any
) -> "OnnxRuntimeEngine":
    threads = options.threads or default_threads()
    per_call = _session_options(threads // options.calls_at_once)
    try:
        # Falling back to the CPU would print on stdout, even where that is what failed.
        session = _library().InferenceSession(graph, per_call, providers, enable_fallback=0, **more)
    except Exception as error:
        raise failure_on(device, "cannot load the graph", error) from error
    if device == "cuda" and _CUDA not in session.get_providers():
        raise HostError("onnxruntime used the CPU in place of the GPU; use --device cpu")
    return OnnxRuntimeEngine(session, device, threads)


def _session_options(threads: int) -> Any:
    options = _library().SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    # Spinning threads slow down everything else on a shared PC, and our own decoding most of all.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # All weights must be in the graph that was hashed; one that points to other files is refused.
    nowhere = str(Path(__file__).with_name("no external data"))
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", nowhere
    )
    options.log_severity_level = _ERROR
    return options


class OnnxRuntimeEngine:
    """A loaded onnxruntime session."""

    name = "onnxruntime"
    most_rows: Mapping[str, int] = MappingProxyType({})

    def __init__(self, session: Any, device: str, threads: int) -> None:
        self.version: str = _library().__version__
        self.device = device
        self.threads = threads
        self._session = session
        # What CUDA throws in the midst of a call may come as it is.
        self._failures: tuple[type[Exception], ...] = (
            (*_failures(), RuntimeError) if device == "cuda" else _failures()
        )
        self._outputs = [output.name for output in session.get_outputs()]
        self.shapes: Mapping[str, tuple[int | None, ...]] = {
            value.name: tuple(d if isinstance(d, int) else None for d in value.shape)
            for value in (*session.get_inputs(), *session.get_outputs())
        }

    def run(self, feeds: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """All outputs by name.

        Raises:
            DeviceMemoryError: the GPU does not have enough memory.
            HostError: the device failed.
        """
        try:
            values = self._session.run(self._outputs, dict(feeds))
        except self._failures as error:
            if _is_of_feeds(error):
                raise
            raise failure_on(self.device, f"failed on {self.device}", error) from error
        return dict(zip(self._outputs, values, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._session = None
