"""NVIDIA's libraries, TensorRT and CUDA; every failure of theirs becomes a HostError here.

A call of CUDA returns its status first. A call of TensorRT that fails returns None or False and
writes the reason to a log.
"""

import ctypes
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vexas_edge.engines.tensorrt.plans import Gpu, n_bytes
from vexas_edge.errors import HostError, MissingEngineError
from vexas_edge.host.facts import nvidia_gpu

try:
    import tensorrt
    from cuda.bindings import runtime
except (
    ImportError,
    OSError,
) as error:  # OSError: the package is installed, but one of its libraries is not
    raise MissingEngineError(
        f"tensorrt cannot be loaded ({error})",
        "install it with `python -m pip install "
        "vexas-edge[tensorrt]` on a PC with an NVIDIA GPU, or use --engine onnxruntime",
    ) from error

__all__ = [
    "Buffer",
    "allocated",
    "captured",
    "checked",
    "given",
    "log",
    "runtime",
    "tensorrt",
    "this_gpu",
]

# Older versions may compute with less precision than the graph states.
_LEAST_VERSION = 11

if int(tensorrt.__version__.partition(".")[0]) < _LEAST_VERSION:
    raise MissingEngineError(
        f"tensorrt {tensorrt.__version__} is installed, which may compute with less precision than "
        "a graph states",
        f"install {_LEAST_VERSION} or newer with `python -m pip install vexas-edge[tensorrt]`",
    )


def checked(answer: Sequence[Any]) -> Any:
    """What a CUDA call returned beside its status; None if that is all.

    Raises:
        HostError: the status is an error; the message names it.
    """
    status, *values = answer
    if status != runtime.cudaError_t.cudaSuccess:
        name, text = (
            asked(status)[1].decode()
            for asked in (runtime.cudaGetErrorName, runtime.cudaGetErrorString)
        )
        raise HostError(
            f"the GPU failed: {text} ({name}); close other programs that use it, or use "
            "--engine onnxruntime"
        )
    return values[0] if values else None


def given(value: Any, doing: str) -> Any:
    """The value that TensorRT returned.

    Raises:
        HostError: the value is None or False, which means failure; the message has the reason that
            TensorRT logged.
    """
    if value is None or value is False:
        reason = "; ".join(log().errors) or "no reason given"
        log().errors.clear()  # so that each error is reported once
        raise HostError(f"tensorrt {tensorrt.__version__} failed {doing}: {reason}")
    return value


class _Log(tensorrt.ILogger):  # type: ignore[misc]
    """Keeps TensorRT's last errors for the message of a call that fails; prints nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: deque[str] = deque(maxlen=3)

    def log(self, severity: Any, message: str) -> None:
        if severity.name in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(message)


@cache
def log() -> _Log:
    """The one log of this process: TensorRT wants all its objects to write to the same."""
    return _Log()


def this_gpu() -> Gpu:
    """The GPU that everything runs on, the first one that CUDA lists.

    Raises:
        HostError: there is no GPU that CUDA can use.
    """
    status, count = runtime.cudaGetDeviceCount()
    if status != runtime.cudaError_t.cudaSuccess or count < 1:
        raise MissingEngineError(
            f"tensorrt {tensorrt.__version__} is installed, but finds no NVIDIA GPU with a driver "
            "for CUDA 13",
            "install driver 580 or newer, or use --engine onnxruntime",
        )
    found = checked(runtime.cudaGetDeviceProperties(0))
    seen = nvidia_gpu()
    return Gpu(
        name=found.name.decode(),
        capability=f"{found.major}.{found.minor}",
        driver=seen.driver if seen else f"CUDA {checked(runtime.cudaDriverGetVersion())}",
        tensorrt=tensorrt.__version__,
    )


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """One tensor's memory, twice: as an array in the PC, and at an address on the GPU."""

    host: NDArray[Any]
    device: int

    def upload(self, stream: Any) -> None:
        """Enqueue the copy from the PC to the GPU."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(self.device, self.host.ctypes.data, kind, stream)

    def download(self, stream: Any) -> None:
        """Enqueue the copy from the GPU to the PC."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(self.host.ctypes.data, self.device, kind, stream)

    def _copy(self, to: int, of: int, kind: Any, stream: Any) -> None:
        checked(runtime.cudaMemcpyAsync(to, of, self.host.nbytes, kind, stream))


def allocated(name: str, shape: Sequence[int], dtype: DTypeLike, closing: ExitStack) -> Buffer:
    """Memory for a tensor; on the PC it is zeroed, and pinned so that copies need not wait.

    Args:
        closing: frees the memory. Its status is not checked: if that fails, an earlier call has
            already reported why.
    """
    size = n_bytes(name, shape, dtype)
    pinned = int(checked(runtime.cudaMallocHost(size)))
    closing.callback(runtime.cudaFreeHost, pinned)
    device = int(checked(runtime.cudaMalloc(size)))
    closing.callback(runtime.cudaFree, device)
    memory = memoryview((ctypes.c_uint8 * size).from_address(pinned))
    host = np.ndarray(tuple(shape), dtype, memory)
    host[...] = 0
    return Buffer(host=host, device=device)


def captured(enqueue: Callable[[], None], stream: Any, closing: ExitStack) -> Any:
    """Everything that `enqueue` puts on the stream, as one CUDA graph: one launch, not hundreds.

    Only this thread's calls are captured; other threads may allocate meanwhile.

    Args:
        closing: frees the graph.
    """
    mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    checked(runtime.cudaStreamBeginCapture(stream, mode))
    try:
        enqueue()
    finally:
        graph = checked(runtime.cudaStreamEndCapture(stream))
    closing.callback(runtime.cudaGraphDestroy, graph)
    executable = checked(runtime.cudaGraphInstantiate(graph, 0))
    closing.callback(runtime.cudaGraphExecDestroy, executable)
    return executable
