"""CUDA: the GPU, its memory and its work; every failure of a call becomes a HostError here.

A call of CUDA returns its status first.
"""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vexas_edge.engines.cuda_start import CUDA_13, driver_problem
from vexas_edge.engines.tensorrt.library import FOR_RTX, NAME
from vexas_edge.engines.tensorrt.plans import KINDS, Gpu, kind_of, n_bytes
from vexas_edge.errors import DeviceMemoryError, HostError, MissingEngineError
from vexas_edge.host.facts import nvidia_gpu

try:
    from cuda.bindings import runtime
except (ImportError, OSError) as error:
    raise MissingEngineError(
        f"{NAME} is installed, but CUDA's bindings for Python cannot be loaded ({error})",
        "install them with `python -m pip install vexas-edge[tensorrt]`, or use --engine "
        "onnxruntime",
    ) from error

__all__ = ["Buffer", "allocated", "captured", "checked", "reserved", "runtime", "this_gpu"]


def checked(answer: Sequence[Any]) -> Any:
    """What a CUDA call returned beside its status; None if that is all.

    Raises:
        DeviceMemoryError: the GPU has too little free memory.
        HostError: the status is another error; the message names it.
    """
    status, *values = answer
    if status != runtime.cudaError_t.cudaSuccess:
        name, text = (
            asked(status)[1].decode()
            for asked in (runtime.cudaGetErrorName, runtime.cudaGetErrorString)
        )
        no_memory = status == runtime.cudaError_t.cudaErrorMemoryAllocation
        raise (DeviceMemoryError if no_memory else HostError)(
            f"the GPU failed: {text} ({name}); close other programs that use it, or use "
            "--engine onnxruntime"
        )
    return values[0] if values else None


def this_gpu() -> Gpu:
    """The GPU that everything runs on, the first one that CUDA lists.

    Raises:
        MissingEngineError: there is no GPU that CUDA can use, or TensorRT does not run on it.
    """
    status, count = runtime.cudaGetDeviceCount()
    if status != runtime.cudaError_t.cudaSuccess or count < 1:
        raise _no_gpu("" if status == runtime.cudaError_t.cudaSuccess else f" ({status.name})")
    found = checked(runtime.cudaGetDeviceProperties(0))
    seen = nvidia_gpu()
    gpu = Gpu(
        name=found.name.decode(),
        capability=f"{found.major}.{found.minor}",
        driver=seen.driver if seen else f"CUDA {checked(runtime.cudaDriverGetVersion())}",
    )
    if FOR_RTX and kind_of(gpu.capability) is None:
        *most, newest = (capability for kind in KINDS for capability in kind)
        raise MissingEngineError(
            f"{NAME} does not run on this {gpu.name} of compute capability {gpu.capability}, only "
            f"on {', '.join(most)}, {newest} and newer",
            "use --engine onnxruntime, or install the full TensorRT with `python -m pip install "
            "vexas-edge[tensorrt-full]`",
        )
    return gpu


def _no_gpu(said: str) -> MissingEngineError:
    """Why CUDA has no GPU to run on. A missing driver and one that is too old look the same."""
    problem = driver_problem(nvidia_gpu(), CUDA_13)
    found = problem.found if problem else f"CUDA finds no GPU{said}"
    remedy = problem.remedy if problem else "see whether `nvidia-smi` shows the GPU"
    return MissingEngineError(
        f"{NAME} is installed, but cannot run: {found}", f"{remedy}, or use --engine onnxruntime"
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
    device = reserved(size, closing)
    memory = memoryview((ctypes.c_uint8 * size).from_address(pinned))
    host = np.ndarray(tuple(shape), dtype, memory)
    host[...] = 0
    return Buffer(host=host, device=device)


def reserved(size: int, closing: ExitStack) -> int:
    """The address of `size` bytes on the GPU, which `closing` frees.

    Raises:
        DeviceMemoryError: the GPU has too little free memory.
    """
    address = int(checked(runtime.cudaMalloc(size)))
    closing.callback(runtime.cudaFree, address)
    return address


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
    except HostError:
        runtime.cudaStreamEndCapture(stream)  # of what was captured so far there is no graph
        raise
    graph = checked(runtime.cudaStreamEndCapture(stream))
    closing.callback(runtime.cudaGraphDestroy, graph)
    executable = checked(runtime.cudaGraphInstantiate(graph, 0))
    closing.callback(runtime.cudaGraphExecDestroy, executable)
    return executable
