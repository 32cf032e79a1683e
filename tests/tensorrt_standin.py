"""A stand-in for TensorRT's runtime and for CUDA, to prove our own logic where there is no GPU.

It computes nothing like TensorRT: of each cell the mean. It holds us to the rules that NVIDIA
documents: memory is as large as what is copied, a context of ours has memory for its shapes, it has
run once before it is captured, TensorRT says None or False where it fails, CUDA a status. It
builds nothing: what is built is shown with the real library.
"""

import ctypes
import json
import time
from collections.abc import Callable
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

VERSION = "11.4.0"
WIDTH = 2  # of an encoding
CANVAS_PX, DRAW_SIZE = 8, 3
# What a plan takes and gives: shapes without rows, and types.
TENSORS = {
    "cells": ((CANVAS_PX, CANVAS_PX, 3), "uint8"),
    "draws": ((DRAW_SIZE,), "int64"),
    "encodings": ((WIDTH,), "float32"),
}
PLAN = json.dumps({"most": 128}).encode()
BYTES_PER_ROW = 100  # that a context needs beside inputs and outputs


def description_of(*layers: tuple[str, str], kind: str = "CaskConvolution") -> str:
    """An inspector's JSON, in TensorRT 11's form: (name, type of what it takes) of each layer."""
    return json.dumps(
        {
            "Layers": [
                {
                    "Name": name,
                    "LayerType": kind,
                    "Inputs": [{"Name": "x", "Dimensions": [1], "Datatype": datatype}],
                    "Outputs": [{"Name": "y", "Dimensions": [1], "Datatype": datatype}],
                }
                for name, datatype in layers
            ],
            "I/O Tensors": [],
        }
    )


class CudaError(IntEnum):
    """As `cudaError_t`."""

    cudaSuccess = 0  # noqa: N815 - CUDA's names
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorInsufficientDriver = 35  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815


class Severity(IntEnum):
    """Of a line in TensorRT's log."""

    ERROR = 1
    WARNING = 2


class Stream:
    """A stream; what is enqueued happens at once, or is recorded."""

    def __init__(self) -> None:
        self.recorded: list[Callable[[], None]] | None = None

    def __int__(self) -> int:
        return id(self)

    def enqueue(self, work: Callable[[], None]) -> None:
        (work() if self.recorded is None else self.recorded.append(work))


class Standin:
    """The two packages, what they were asked to do, and how they are told to fail.

    module: which TensorRT it stands for. failing: statuses of CUDA's calls by name. most_bytes: of
    a single allocation. gpu: what CUDA says of the GPU. describes: the engine's inspector, JSON.
    memory: what is allocated, by address. compiled: kernels, as the runtime cache has them.
    """

    def __init__(self, module: str = "tensorrt") -> None:
        self.module = module
        self.gpu = SimpleNamespace(name=b"NVIDIA Stand-in", major=8, minor=9)
        self.failing: dict[str, CudaError] = {}
        self.most_bytes = 1 << 30
        self.describes = description_of(("conv1", "Float"), ("conv2", "Float"))
        self.capturable = True
        self.loaded = b""
        self.compiled: bytes | None = b"kernels"
        self.memory: dict[int, Any] = {}
        self.streams: dict[int, Stream] = {}
        self.launches = 0

    def modules(self) -> dict[str, ModuleType]:
        """What `sys.modules` is to hold."""
        names = (self.module, "cuda", "cuda.bindings", "cuda.bindings.runtime")
        modules = {name: ModuleType(name) for name in names}
        vars(modules[self.module]).update(tensorrt_names(self))
        runtime = modules["cuda.bindings.runtime"]
        vars(runtime).update(cuda_names(self))
        modules["cuda.bindings"].runtime = runtime  # type: ignore[attr-defined]
        return modules

    def allocate(self, size: int) -> int:
        memory = (ctypes.c_uint8 * size)(*[0xA5] * size)
        self.memory[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)

    def copy(self, to: int, of: int, size: int) -> None:
        for address in (to, of):
            assert size <= len(self.memory[address]), "copied past the end of an allocation"
        ctypes.memmove(to, of, size)

    def array(self, address: int, shape: Any, dtype: Any) -> np.ndarray:
        return np.frombuffer(self.memory[address], dtype)[: int(np.prod(shape))].reshape(shape)


def cuda_names(standin: Standin) -> dict[str, Any]:
    """What `cuda.bindings.runtime` holds."""
    success = CudaError.cudaSuccess

    def call(name: str, does: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
        def called(*arguments: Any) -> tuple[Any, ...]:
            status = standin.failing.get(name, success)
            if name == "cudaMalloc" and arguments[0] > standin.most_bytes:
                status = CudaError.cudaErrorMemoryAllocation
            if status is not success:
                return (status, None)
            value = does(*arguments)
            return (status,) if value is None else (status, value)

        return called

    def launch(work: list[Callable[[], None]], stream: Stream) -> None:
        standin.launches += 1
        for each in work:
            stream.enqueue(each)

    def copy(to: int, of: int, size: int, kind: int, stream: Stream) -> None:
        assert kind in (1, 2)
        stream.enqueue(lambda: standin.copy(to, of, size))

    def end_capture(stream: Stream) -> Any:
        recorded, stream.recorded = stream.recorded, None
        return recorded

    def create_stream() -> Stream:
        stream = Stream()
        standin.streams[int(stream)] = stream
        return stream

    def free(address: int) -> None:
        del standin.memory[address]

    calls: dict[str, Callable[..., Any]] = {
        "cudaGetDeviceCount": lambda: 1,
        "cudaGetDeviceProperties": lambda _: standin.gpu,
        "cudaDriverGetVersion": lambda: 13000,
        "cudaSetDevice": lambda device: None if device == 0 else 1 / 0,
        "cudaGetErrorName": lambda status: status.name.encode(),
        "cudaGetErrorString": lambda _: b"in words",
        "cudaMalloc": standin.allocate,
        "cudaMallocHost": standin.allocate,
        "cudaFree": free,
        "cudaFreeHost": free,
        "cudaMemcpyAsync": copy,
        "cudaStreamCreate": create_stream,
        "cudaStreamDestroy": lambda stream: standin.streams.pop(int(stream)) and None,
        "cudaStreamSynchronize": lambda _: time.sleep(0.001),  # others may run meanwhile
        "cudaStreamBeginCapture": lambda stream, _: setattr(stream, "recorded", []),
        "cudaStreamEndCapture": end_capture,
        "cudaGraphInstantiate": lambda graph, _: graph,
        "cudaGraphLaunch": launch,
        "cudaGraphDestroy": lambda _: None,
        "cudaGraphExecDestroy": lambda _: None,
    }
    return {
        "cudaError_t": CudaError,
        "cudaMemcpyKind": SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2),
        "cudaStreamCaptureMode": SimpleNamespace(cudaStreamCaptureModeThreadLocal=1),
        **{name: call(name, does) for name, does in calls.items()},
    }


def tensorrt_names(standin: Standin) -> dict[str, Any]:
    """What TensorRT's module holds, of what running uses."""

    class ILogger:
        pass

    class IProgressMonitor:
        pass

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> "Engine | None":
            if plan.startswith(b"{"):
                return Engine(standin)
            self.log.log(Severity.WARNING, "never mind")
            self.log.log(Severity.ERROR, "the plan is of another version")
            return None

    return {
        "__version__": VERSION,
        "ILogger": ILogger,
        "IProgressMonitor": IProgressMonitor,
        "Runtime": Runtime,
        "LayerInformationFormat": SimpleNamespace(JSON="JSON"),
        "TensorIOMode": SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT"),
        "ExecutionContextAllocationStrategy": SimpleNamespace(USER_MANAGED="ours"),
        "DynamicShapesKernelSpecializationStrategy": SimpleNamespace(EAGER="at once"),
        "nptype": np.dtype,
    }


class RuntimeConfig:
    """How contexts run."""

    def __init__(self, standin: Standin) -> None:
        self.standin = standin
        self.memory = "its own"
        self.dynamic_shapes_kernel_specialization_strategy = "later"

    def set_execution_context_allocation_strategy(self, strategy: str) -> None:
        self.memory = strategy

    def create_runtime_cache(self) -> Any:
        return SimpleNamespace(
            deserialize=lambda content: setattr(self.standin, "loaded", content),
            serialize=lambda: self.standin.compiled,
        )

    def set_runtime_cache(self, _: Any) -> bool:
        return True


class Engine:
    """A plan, loaded."""

    def __init__(self, standin: Standin) -> None:
        self.standin = standin
        self.num_io_tensors = len(TENSORS)

    def get_tensor_name(self, i: int) -> str:
        return list(TENSORS)[i]

    def get_tensor_mode(self, name: str) -> str:
        return "OUTPUT" if name == "encodings" else "INPUT"

    def get_tensor_dtype(self, name: str) -> str:
        return TENSORS[name][1]

    def get_tensor_shape(self, name: str) -> list[int]:
        return [-1, *TENSORS[name][0]]

    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig(self.standin)

    def create_execution_context(self, config: RuntimeConfig) -> "Context":
        assert config.memory == "ours"
        if self.standin.module != "tensorrt":
            assert config.dynamic_shapes_kernel_specialization_strategy == "at once"
        return Context(self)

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(
            execution_context=None, get_engine_information=lambda _: self.standin.describes
        )


class Context:
    """One size's shapes and addresses."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, list[int]] = {}
        self.addresses: dict[str, int] = {}
        self.has_run = self.has_memory = False

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        assert stream in self.engine.standin.streams
        return profile == 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = list(shape)
        most = 128 if name == "cells" else 1
        return 1 <= shape[0] <= most and shape[1:] == TENSORS[name][0]

    def get_tensor_shape(self, name: str) -> list[int]:
        return self.shapes.get(name) or [self.shapes["cells"][0], WIDTH]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        return BYTES_PER_ROW * self.shapes["cells"][0]

    def set_device_memory(self, address: int, size: int) -> None:
        needed = self.update_device_memory_size_for_shapes()
        assert needed == size == len(self.engine.standin.memory[address])
        self.has_memory = True

    def is_stream_capturable(self, stream: int) -> bool:
        assert stream in self.engine.standin.streams
        return self.engine.standin.capturable

    def execute_async_v3(self, stream: int) -> bool:
        found = self.engine.standin.streams[stream]
        assert self.has_memory
        assert self.has_run or found.recorded is None, "captured before its first run"
        self.has_run = True
        found.enqueue(self._compute)
        return True

    def _compute(self) -> None:
        at = {
            name: self.engine.standin.array(address, self.get_tensor_shape(name), TENSORS[name][1])
            for name, address in self.addresses.items()
        }
        means = at["cells"].mean((1, 2, 3), dtype=np.float32) / 255
        at["encodings"][:] = np.stack([means, 1 - means], axis=1)
